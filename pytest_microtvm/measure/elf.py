"""What a linked program takes in the board's memories, by part, and where its functions are."""

from __future__ import annotations

import hashlib
import re
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
    except ELFError as error:
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
    for symbol in table.iter_symbols():
        kind, binding = symbol["st_info"]["type"], symbol["st_info"]["bind"]
        if kind == "STT_FILE":
            file = symbol.name
        index = symbol["st_shndx"]
        if kind not in ("STT_FUNC", "STT_OBJECT") or not isinstance(index, int):
            continue
        flags = sections[index]["sh_flags"]
        address = symbol["st_value"]
        if kind == "STT_FUNC" and is_arm:
            address &= ~1  # bit 0 says that it is Thumb code
        if not flags & SHF_ALLOC or not symbol["st_size"] or (kind, address) in seen:
            continue
        seen.add((kind, address))
        yield _Symbol(
            name=symbol.name,
            file=file if binding == "STB_LOCAL" else "",
            address=address,
            size_bytes=symbol["st_size"],
            is_function=kind == "STT_FUNC",
            is_in_ram=bool(flags & SHF_WRITE),
            section=sections[index].name,
        )


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
