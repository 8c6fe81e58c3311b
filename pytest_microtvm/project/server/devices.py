"""The devices of a board that our drivers serve: keys of its definition, and macros in C."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .board_keys import BoardKey
from .real_board import serial_port_keys

DEVICE_KEYS = (
    BoardKey("uart", "table", required=True),
    BoardKey("uart.driver", "str", required=True, help="A file in src/uart/."),
    BoardKey("uart.base", "int", required=True, help="Its address, or I/O port."),
    BoardKey("uart.interrupt", "int", help="Its interrupt; without it, the firmware polls."),
    BoardKey("uart.clock_hz", "int", help="The clock that its speed is divided from."),
    *serial_port_keys(),
    BoardKey("timer.driver", "str", required=True, help="A file in src/timer/."),
    BoardKey("timer.base", "int", required=True, help="Its address."),
    BoardKey("timer.hz", "int", required=True, help="Ticks per second."),
    BoardKey("timer.emulator_hz", "int", help="Ticks per second in the emulator."),
    BoardKey("pin.address", "int", required=True, help="The register that sets a pin."),
    BoardKey("pin.mask", "int", required=True, help="Its bit: what a power monitor watches."),
    BoardKey("setup", "tables", help="Registers that are set before any driver starts."),
    BoardKey("setup.address", "int", required=True, help="The register."),
    BoardKey("setup.set", "int", required=True, help="Bits to set."),
    BoardKey("setup.clear", "int", default=0, help="Bits to clear first."),
)
"""What a platform's table of a board says of its UART, its timer, a pin, and other registers."""


def device_macros(table: Mapping[str, Any]) -> dict[str, str]:
    """The values of these keys, as the drivers in src/ take them.

    Args:
        table: The platform's table, with every key.
    """
    uart, timer = table["uart"], table["timer"]
    macros = {
        "MICROTVM_UART_BASE": f"0x{uart['base']:x}u",
        "MICROTVM_UART_BAUD": f"{uart['baud']}u",
    }
    for key in ("interrupt", "clock_hz"):
        if uart[key] is not None:
            macros[f"MICROTVM_UART_{key.upper()}"] = f"{uart[key]}u"
    if timer:
        macros["MICROTVM_TIMER_BASE"] = f"0x{timer['base']:x}u"
        macros["MICROTVM_TIMER_HZ"] = f"{timer['hz']}u"
        macros["MICROTVM_TIMER_EMULATOR_HZ"] = f"{timer['emulator_hz'] or timer['hz']}u"
    if table["pin"]:
        macros["MICROTVM_PIN_ADDRESS"] = f"0x{table['pin']['address']:x}u"
        macros["MICROTVM_PIN_MASK"] = f"0x{table['pin']['mask']:x}u"
    registers = [
        f"{{0x{register['address']:x}u, 0x{register['clear']:x}u, 0x{register['set']:x}u}}"
        for register in table["setup"]
    ]
    if registers:
        macros["MICROTVM_SETUP"] = ", ".join(registers)
    return macros
