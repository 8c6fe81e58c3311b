"""What a linked program takes in the board's memories."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_microtvm.errors import BuildError

SHF_WRITE, SHF_ALLOC = 0x1, 0x2
"""Section flags (System V ABI, chapter 4)."""


@dataclass(frozen=True)
class ImageSize:
    """Sizes of a linked program.

    Attributes:
        flash_bytes: Everything that is loaded: code, constants and the initial values of variables.
        ram_bytes: Every writable section: variables, and the stack where the linker reserves it.
    """

    flash_bytes: int
    ram_bytes: int


def measure_elf(path: Path) -> ImageSize:
    """Add up a program's sections.

    Args:
        path: An ELF file with its section headers.

    Raises:
        BuildError: It is none.
    """
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    flash_bytes = ram_bytes = 0
    try:
        with path.open("rb") as file:
            for section in ELFFile(file).iter_sections():
                if not section["sh_flags"] & SHF_ALLOC:
                    continue
                if section["sh_type"] != "SHT_NOBITS":
                    flash_bytes += section["sh_size"]
                if section["sh_flags"] & SHF_WRITE:
                    ram_bytes += section["sh_size"]
    except ELFError as error:
        raise BuildError(
            f"{path} is not an ELF program: {error}", cure="build the project again"
        ) from error
    return ImageSize(flash_bytes, ram_bytes)
