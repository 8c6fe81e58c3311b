"""From an address of the firmware to the function, file and line it is of, by the ELF's DWARF."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_microtvm.errors import BuildError


@dataclass(frozen=True)
class SourceLocation:
    """Where an address comes from.

    Attributes:
        function: The function that it lies in.
        file: The source file, relative to the project where it is one of it; "" when unknown.
        line: 0 when unknown.
    """

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.function} ({self.file}:{self.line})" if self.file else self.function


def locate(program: Path, address: int) -> SourceLocation | None:
    """Find where an address of a linked program comes from.

    Args:
        program: An ELF file, best with debug information.
        address: Of an instruction.

    Returns:
        None when no function is there.

    Raises:
        BuildError: The file cannot be read.
    """
    # Needed for crashes only.
    from elftools.common.exceptions import DWARFError, ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with program.open("rb") as file:
            elf = ELFFile(file)
            function = _function_at(elf, address)
            if function is None:
                return None
            try:
                source, line = _line_at(elf, address)
            except (DWARFError, LookupError, ValueError):
                source, line = "", 0
            return SourceLocation(function, source, line)
    except (OSError, ELFError) as error:
        raise BuildError(f"{program} cannot be read: {error}") from error


def _function_at(elf: Any, address: int) -> str | None:
    symbols = elf.get_section_by_name(".symtab")
    if symbols is None:
        return None
    for symbol in symbols.iter_symbols():
        if symbol["st_info"]["type"] != "STT_FUNC":
            continue
        if symbol["st_value"] <= address < symbol["st_value"] + symbol["st_size"]:
            return str(symbol.name).partition(".")[0]  # less ".cold", ".part.0" and the like
    return None


def _line_at(elf: Any, address: int) -> tuple[str, int]:
    if not elf.has_dwarf_info():
        return "", 0
    dwarf = elf.get_dwarf_info()
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        if program is None:
            continue
        row = None
        for entry in program.get_entries():
            state = entry.state
            if state is None:
                continue
            if row is not None and row.address <= address < state.address:
                return _file_name(program, row.file), int(row.line)
            row = None if state.end_sequence else state
    return "", 0


def _file_name(program: Any, index: int) -> str:
    """A file of a line program: its tables count from 0 since DWARF 5, from 1 before."""
    header = program.header
    first = 0 if header["version"] >= 5 else 1
    entry = header["file_entry"][index - first]
    name = entry.name.decode("utf-8", "replace")
    directory_index = entry.dir_index
    if header["version"] < 5 and directory_index == 0:
        directory = ""  # that of the compilation, which is the project
    else:
        directory = header["include_directory"][directory_index - first].decode("utf-8", "replace")
    return posixpath.normpath(posixpath.join(directory, name))
