"""simavr in a board's place: bytes, faults, counts, and the program over libsimavr itself."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_microtvm.project.server import (
    OptionError,
    ProjectError,
    TransportClosedError,
    emulator_tools,
    simavr,
    start_emulator,
)
from pytest_microtvm.project.server.process import ChildTransport
from pytest_microtvm.project.server.simavr import cached_programs
from pytest_microtvm.session.wire.framing import Frame, FrameDecoder
from pytest_microtvm.session.wire.session import Fault, HostSession

SIMAVR = {
    "kind": "simavr",
    "program": "simavr",
    "machine": "atmega2560",
    "arguments": [],
    "clock_hz": 16_000_000,
    "install": "apt-get install libsimavr-dev",
}
DEADLINE_S = 20.0

ECHO = """
    #include <avr/interrupt.h>
    #include <avr/io.h>
    #include <avr/sleep.h>
    #include <stdlib.h>

    static volatile uint8_t ring[256], head, tail, depth;
    ISR(USART0_RX_vect) { ring[head] = UDR0; head++; }

    static uint8_t Get(void) {
      sleep_enable();
      for (;;) {
        cli();
        if (tail != head) {
          break;
        }
        sei();
        sleep_cpu();
      }
      sei();
      return ring[tail++];
    }

    static void Put(uint8_t byte) {
      while (!(UCSR0A & _BV(UDRE0))) {
      }
      UDR0 = byte;
    }

    __attribute__((noinline)) static int Recurse(volatile int n) {
      volatile char room[64];
      room[0] = (char)n;
      ++depth;
      return Recurse(n + 1) + room[0];
    }

    __attribute__((noinline, naked)) void kernel(void) {
      __asm__ volatile("ldi r24, lo8(5000)\\n ldi r25, hi8(5000)\\n"
                       "1: sbiw r24, 1\\n brne 1b\\n ret");
    }
    __attribute__((noinline, naked)) void run(void) {
      __asm__ volatile("call kernel\\n call kernel\\n ret");
    }

    int main(void) {
      UBRR0 = 1; /* 1 Mbaud */
      UCSR0A = _BV(U2X0);
      UCSR0B = _BV(RXEN0) | _BV(TXEN0) | _BV(RXCIE0);
      TCCR0B = _BV(CS00); /* an interrupt every 256 cycles, as the Arduino's clock in small */
      TIMSK0 = INTERRUPTS;
      sei();
      for (;;) {
        const uint8_t byte = Get();
        switch (COMMANDS ? byte : 0) {
          case 'i': __asm__ volatile(".word 0x9404"); break;
          case 's': Recurse(1); break;
          case 'r': ((void (*)(void))0)(); break;
          case 'x': ((void (*)(void))0x9000)(); break;
          case 'w': *(volatile uint8_t *)0x9000 = 1; break;
          case 'a': abort();
          case 'c': run(); break;
          case 'k': kernel(); break;
          default: break;
        }
        Put(byte);
      }
    }
    ISR(TIMER0_OVF_vect) { ++depth; }
"""


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    if shutil.which("avr-gcc") is None:
        pytest.skip("avr-gcc is not installed: apt-get install gcc-avr avr-libc")
    folder = tmp_path_factory.mktemp("avr")
    made: dict[tuple[int, int], Path] = {}

    def build(*, commands: bool = True, interrupts: bool = False) -> Path:
        key = (int(commands), int(interrupts))
        if key not in made:
            program = folder / f"firmware{len(made)}.elf"
            source = folder / "main.c"
            source.write_text(textwrap.dedent(ECHO))
            command = ["avr-gcc", "-mmcu=atmega2560", "-Os", f"-DCOMMANDS={key[0]}"]
            command += [f"-DINTERRUPTS={key[1]}", "-o", str(program), str(source)]
            subprocess.run(command, check=True)
            made[key] = program
        return made[key]

    return build


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if any(tool.path is None for tool in emulator_tools(SIMAVR)):
        pytest.skip("libsimavr is not installed: apt-get install libsimavr-dev")
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture
def start() -> Iterator[Callable[..., ChildTransport]]:
    running: list[ChildTransport] = []

    def start_one(firmware: Path, **options: object) -> ChildTransport:
        running.append(start_emulator(SIMAVR, firmware, options))
        return running[-1]

    yield start_one
    for each in running:
        each.close()


def read(board: ChildTransport, size: int) -> bytes:
    received = b""
    while len(received) < size:
        received += board.read(size - len(received), DEADLINE_S)
    return received


def read_to_end(board: ChildTransport) -> tuple[bytes, str]:
    received = b""
    while True:
        try:
            received += board.read(4096, DEADLINE_S)
        except TransportClosedError as error:
            return received, str(error.data["message"])


def test_the_program_compiles_without_warnings(tmp_path):
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Wvla"]
    warnings += ["-Wmissing-prototypes", "-Wstrict-prototypes", "-Werror"]
    source = Path(simavr.__file__).with_suffix(".c")
    command = ["cc", "-std=gnu11", "-O2", *warnings, str(source), "-lsimavr"]
    subprocess.run([*command, "-o", str(tmp_path / "simavr")], check=True, timeout=60)


def test_no_byte_is_lost_at_a_megabaud(firmware, start):
    data = random.Random(1).randbytes(3000)
    board = start(firmware(commands=False))
    board.write(data, DEADLINE_S)
    assert read(board, len(data)) == data


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("i", "illegal instruction"),
        ("s", "stack overflow"),
        ("r", "reset"),
        ("x", "execution outside of the firmware"),
        ("w", "write outside of memory"),
    ],
)
def test_a_crash_is_a_fault_message(firmware, start, command, kind):
    board = start(firmware())
    board.write(b"\xff\xfd" + command.encode(), DEADLINE_S)
    received, end = read_to_end(board)
    assert end == "simavr ended with exit status 4: the firmware crashed"
    (frame,) = (event for event in FrameDecoder().feed(received) if isinstance(event, Frame))
    fault = HostSession().accept(frame.payload)
    assert isinstance(fault, Fault)
    assert fault.registers["kind"] == kind
    assert 0 < int(fault.registers["pc"], 0) < 0x1000
    assert int(fault.registers["sp"], 0) < 0x2200


def test_a_crash_of_a_firmware_without_frames_only_ends_it(firmware, start, capfd):
    board = start(firmware())
    board.write(b"i", DEADLINE_S)
    assert read_to_end(board) == (b"", "simavr ended with exit status 4: the firmware crashed")
    assert "simavr: illegal instruction at 0x" in capfd.readouterr().err


def test_an_aborted_firmware_ends(firmware, start):
    board = start(firmware())
    board.write(b"a", DEADLINE_S)
    assert read_to_end(board)[1].endswith("the firmware gave up, and its log says why")


@pytest.mark.parametrize("interrupts", [False, True])
def test_instructions_and_cycles_are_those_of_the_code(firmware, start, tmp_path, interrupts):
    program = firmware(interrupts=interrupts)
    symbols = subprocess.run(["avr-nm", program], check=True, capture_output=True, text=True)
    address = {line.split()[2]: int(line.split()[0], 16) for line in symbols.stdout.splitlines()}
    functions, log = tmp_path / "functions", tmp_path / "log"
    functions.write_text(f"kernel {address['kernel']:#x}\nrun {address['run']:#x}\n")
    board = start(program, simavr_functions=str(functions), simavr_log=str(log))
    board.write(b"ck", DEADLINE_S)
    read(board, 2)
    # sbiw and brne take two cycles each, a brne that does not jump one, and ret five with 22 bits
    instructions = 2 + 2 * 5000 + 1
    cycles = 2 + 4 * 5000 - 1 + 5
    kernel = f"0:{instructions}:{cycles}"
    run = f"{2 * instructions + 3}:{2 * cycles + 3 * 5}"
    assert log.read_text() == f"{kernel} {kernel} {run}\n{kernel} {instructions}:{cycles}\n"


def test_the_board_ends_with_its_input(firmware, start):
    board = start(firmware())
    process = board._process
    os.close(board._write_fd)
    board._write_fd = None
    assert process.wait(DEADLINE_S) == 0


def test_the_program_is_compiled_once_and_checked(firmware, start, monkeypatch, tmp_path):
    start(firmware()).close()
    (program,) = cached_programs().glob("*/simavr")
    made = program.stat().st_mtime_ns
    start(firmware()).close()
    assert program.stat().st_mtime_ns == made
    program.write_bytes(b"#!/bin/sh\nexit 7\n")  # damaged, or another's
    board = start(firmware())
    board.write(b"z", DEADLINE_S)
    assert read(board, 1) == b"z"
    assert len(list(cached_programs().iterdir())) == 1
    assert program.stat().st_size > 1000


def test_a_cache_that_cannot_be_written_is_done_without(firmware, start, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    board = start(firmware())
    board.write(b"z", DEADLINE_S)
    assert read(board, 1) == b"z"


def test_what_is_missing_is_named_with_its_cure(firmware, monkeypatch):
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    with pytest.raises(ProjectError) as caught:
        start_emulator(SIMAVR, firmware(), {})
    assert str(caught.value.data["message"]) == "libsimavr is not installed with its headers"
    assert caught.value.data["cure"] == "install it: apt-get install libsimavr-dev"


def test_a_debugger_is_refused(firmware):
    with pytest.raises(OptionError, match="every network"):
        start_emulator(SIMAVR, firmware(), {"gdbserver_port": 1234})


@pytest.mark.parametrize(
    ("machine", "content", "why"),
    [
        ("atmega9", None, "libsimavr does not know this MCU"),
        ("atmega2560", b"\x7fELF", "not an ELF file for AVR"),
        ("atmega48", None, "larger than the flash of this MCU"),
    ],
)
def test_what_cannot_start_says_why(firmware, tmp_path, capfd, machine, content, why):
    program = firmware()
    if machine == "atmega48":
        large = tmp_path / "large.c"
        large.write_text("const char t[8000] = {1}; int main(void) { return t[1]; }\n")
        program = tmp_path / "large.elf"
        command = ["avr-gcc", "-mmcu=atmega2560", "-o", str(program), str(large)]
        subprocess.run(command, check=True)
    if content is not None:
        program = tmp_path / "bad.elf"
        program.write_bytes(content)
    board = start_emulator({**SIMAVR, "machine": machine}, program, {})
    assert "cannot start" in read_to_end(board)[1]
    board.close()
    assert why in capfd.readouterr().err
