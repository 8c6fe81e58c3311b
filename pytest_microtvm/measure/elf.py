"""What a linked program takes in the board's memories, by part, and where its functions are."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_microtvm.errors import BuildError

SHF_WRITE, SHF_ALLOC = 0x1, 0x2
"""Section flags (System V ABI, chapter 4)."""

FLASH_PARTS = ("constants", "kernels", "graph", "runtime", "other")
RAM_PARTS = ("arena", "io", "pool", "packet", "stack", "runtime", "other")

RUN_FUNCTION = "MicroTVMExecutorRun"
"""The runtime's function that makes one inference."""

# Memory of a generated firmware (microtvm/firmware.h).
_RAM_SYMBOLS = {
    "microtvm_workspace": "arena",
    "microtvm_io": "io",
    "microtvm_pool": "pool",
    "microtvm_packet": "packet",
    "microtvm_server": "runtime",
    "microtvm_executor": "runtime",
    "microtvm_table": "runtime",
    "z_main_stack": "stack",  # of Zephyr's threads and interrupts
    "z_idle_stacks": "stack",
    "z_interrupt_stacks": "stack",
}
_STACK_SECTION = ".stack"


@dataclass(frozen=True)
class Image:
    """A linked program.

    Attributes:
        flash_bytes: Everything that is loaded: code, constants and the initial values of variables.
        ram_bytes: Every writable section: variables, and the stack where the linker reserves it.
        flash: `flash_bytes` by `FLASH_PARTS`: the model's constants, its kernels and call plan, its
            description and graph, the runtime with the executor, and all else (the port, the C
            library, text and padding).
        ram: `ram_bytes` by `RAM_PARTS`: the arena, the model's inputs and outputs, what
            `host_driven` allocates from, the packet buffer, the stack's reserve, the runtime, and
            all else.
        functions: Addresses of `RUN_FUNCTION` and of the kernels, by name, those that are there.
        digest: Of all bytes that are loaded and their addresses, in hexadecimal.
        sections: By name: {"bytes", "memories"}: "flash", "ram" or both of them.
        symbols: By name: {"bytes", "section"}; several of one name and section are one.
    """

    flash_bytes: int
    ram_bytes: int
    flash: dict[str, int] = field(default_factory=dict)
    ram: dict[str, int] = field(default_factory=dict)
    functions: dict[str, int] = field(default_factory=dict)
    digest: str = ""
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    symbols: dict[str, dict[str, Any]] = field(default_factory=dict)


_STB_LOCAL = 0
_STT_OBJECT, _STT_FUNC, _STT_FILE = 1, 2, 4
_ORDER_32 = (0, 3, 5, 1, 2)
_ORDER_64 = (0, 1, 3, 4, 5)
"""Where a symbol's name, info, section, address and size are, by the ELF specification."""


@dataclass(frozen=True)
class _Symbol:
    """A function or an object; `file` is that of its source where it is local, else ""."""

    name: str
    file: str
    address: int
    size_bytes: int
    is_function: bool
    is_in_ram: bool
    section: str = ""


def read_image(
    path: Path, model: str, kernels: Collection[str], runtime_sources: Collection[str]
) -> Image:
    """Add up a program's sections and find its parts by its symbols.

    Args:
        path: An ELF file with its section headers.
        model: The model's name in its archive.
        kernels: The names of its kernels.
        runtime_sources: The names of the runtime's source files.

    Raises:
        BuildError: The file is not an ELF program.
    """
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    flash = dict.fromkeys(FLASH_PARTS, 0)
    ram = dict.fromkeys(RAM_PARTS, 0)
    functions = {}
    sections: dict[str, dict[str, Any]] = {}
    symbols: dict[str, dict[str, Any]] = {}
    flash_bytes = ram_bytes = 0
    loaded = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            for section in elf.iter_sections():
                if not section["sh_flags"] & SHF_ALLOC:
                    continue
                _add_section(sections, section)
                if section["sh_type"] != "SHT_NOBITS":
                    flash_bytes += section["sh_size"]
                    loaded.update(f"{section['sh_addr']}:{section['sh_size']}\n".encode())
                    loaded.update(section.data())
                if section["sh_flags"] & SHF_WRITE:
                    ram_bytes += section["sh_size"]
                if section.name == _STACK_SECTION:
                    ram["stack"] += section["sh_size"]
            for symbol in _symbols(elf):
                known = symbols.setdefault(symbol.name, {"bytes": 0, "section": symbol.section})
                known["bytes"] += symbol.size_bytes
                if symbol.is_in_ram:
                    ram[_ram_part(symbol, runtime_sources)] += symbol.size_bytes
                else:
                    flash[_flash_part(symbol, model, kernels, runtime_sources)] += symbol.size_bytes
                if symbol.name in kernels or symbol.name == RUN_FUNCTION:
                    functions[symbol.name] = symbol.address
    except (ELFError, IndexError, ValueError, struct.error) as error:
        raise BuildError(
            f"{path} is not an ELF program: {error}", cure="build the project again"
        ) from error
    # What no symbol names is text of messages, padding, and initial values of variables.
    flash["other"] += flash_bytes - sum(flash.values())
    ram["other"] += ram_bytes - sum(ram.values())
    return Image(
        flash_bytes, ram_bytes, flash, ram, functions, loaded.hexdigest(), sections, symbols
    )


def _add_section(sections: dict[str, dict[str, Any]], section: Any) -> None:
    """Take a section that has room in the board's memories."""
    memories = ["flash"] * (section["sh_type"] != "SHT_NOBITS")
    memories += ["ram"] * bool(section["sh_flags"] & SHF_WRITE)
    if section["sh_size"] and memories:
        known = sections.setdefault(section.name, {"bytes": 0, "memories": memories})
        known["bytes"] += section["sh_size"]


def _symbols(elf: Any) -> Iterator[_Symbol]:
    """The functions and objects of a program; of several names of one thing, the first."""
    table = elf.get_section_by_name(".symtab")
    if table is None:
        return
    sections = list(elf.iter_sections())
    is_arm = elf["e_machine"] == "EM_ARM"
    file = ""
    seen = set()
    layout, order = ("IIIBBH", _ORDER_32) if elf.elfclass == 32 else ("IBBHQQ", _ORDER_64)
    layout = ("<" if elf.little_endian else ">") + layout
    names = sections[table["sh_link"]].data()
    attributes = [(section["sh_flags"], section.name) for section in sections]
    # By elftools itself, this takes longer than to link the program.
    for fields in struct.iter_unpack(layout, table.data()):
        offset, info, index, address, size_bytes = (fields[position] for position in order)
        kind, is_local = info & 0xF, info >> 4 == _STB_LOCAL
        if kind == _STT_FILE:
            file = _text_at(names, offset)
        if kind not in (_STT_FUNC, _STT_OBJECT) or not 0 < index < len(attributes):
            continue
        flags, section = attributes[index]
        if kind == _STT_FUNC and is_arm:
            address &= ~1  # bit 0 says that it is Thumb code
        if not flags & SHF_ALLOC or not size_bytes or (kind, address) in seen:
            continue
        seen.add((kind, address))
        yield _Symbol(
            name=_text_at(names, offset),
            file=file if is_local else "",
            address=address,
            size_bytes=size_bytes,
            is_function=kind == _STT_FUNC,
            is_in_ram=bool(flags & SHF_WRITE),
            section=section,
        )


def _text_at(names: bytes, offset: int) -> str:
    return names[offset : names.index(b"\0", offset)].decode("utf-8", "replace")


def _flash_part(
    symbol: _Symbol, model: str, kernels: Collection[str], runtime_sources: Collection[str]
) -> str:
    generated = symbol.name.startswith(f"tvmgen_{model}_")
    if symbol.name in (f"tvmgen_{model}_model", f"tvmgen_{model}_graph") or symbol.file in (
        f"{model}_model.c",
        f"{model}_graph.c",
    ):
        return "graph"
    if symbol.name in kernels or generated or re.fullmatch(rf"{model}_lib\d+\.c", symbol.file):
        return "kernels" if symbol.is_function else "constants"
    if symbol.name.startswith("MicroTVM") or symbol.file in runtime_sources:
        return "runtime"
    return "other"


def _ram_part(symbol: _Symbol, runtime_sources: Collection[str]) -> str:
    if symbol.file in runtime_sources:
        return "runtime"
    return _RAM_SYMBOLS.get(symbol.name, "other")
