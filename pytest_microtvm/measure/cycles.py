"""Estimates what a core takes of cycles, from the instructions that an emulator executes.

`cores/` has a table for each core: what an instruction of a class takes, and what it takes right
behind one of another class; and for each encoding, which instructions are of which class. From
these and a linked program comes a file that says it for each address of its code; the plugin that
counts instructions adds that up (`counting.c`).

There are no caches and no wait states in it, and nothing that depends on values. Each table names
its source and what it leaves out.
"""

from __future__ import annotations

import functools
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.errors import BuildError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

CORES = Path(__file__).with_name("cores")
OTHER = "other"
"""The class of instructions that no pattern fits."""

UNITS = 16
"""Parts of a cycle that the file counts in."""

_SHF_EXECINSTR = 0x4
_HALF_BITS = 16
_MOST_UNITS = 0xFFFF

Words = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Cost:
    """What an instruction takes.

    Args:
        base: Cycles of each.
        each: Further cycles for each register of a list, or for what its pattern counts.
    """

    base: float
    each: float = 0.0


@dataclass(frozen=True)
class Pattern:
    """Instructions by their bits.

    Args:
        length: 16 or 32 bits.
        mask: The bits that tell.
        value: What they are.
        counted: Bits that are counted where they are set.
        number: Bits that are a number.
    """

    length: int
    mask: int
    value: int
    counted: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """A pattern as tables write it: of each bit 0, 1, x, n or v, from the highest on."""
        bits = text.replace("_", "")

        def where(kinds: str) -> int:
            return int("".join("1" if bit in kinds else "0" for bit in bits), 2)

        return cls(len(bits), where("01"), where("1"), where("n"), where("v"))


@dataclass(frozen=True)
class CoreModel:
    """What instructions take on a core.

    Args:
        name: Of the core.
        encoding: "thumb" or "riscv".
        source: Where the figures are from.
        error: What they leave out.
        taken_branch: Cycles that it takes to go on elsewhere, beside those of the branch.
        free_branch: The class of branches that take none of these; empty if there is none.
        costs: By class.
        after: By the class of the instruction before, what one of a class takes then.
        classes: The patterns of each class; the first that fits decides.
    """

    name: str
    encoding: str
    source: str
    error: str
    taken_branch: float
    free_branch: str
    costs: Mapping[str, Cost]
    after: Mapping[str, Mapping[str, float]]
    classes: Mapping[str, tuple[Pattern, ...]]

    @property
    def names(self) -> list[str]:
        """The classes, by their numbers in the file."""
        return [OTHER, *self.classes]

    def cost(self, name: str) -> Cost:
        """What an instruction of a class takes."""
        return self.costs.get(name, Cost(1))

    def saved(self) -> npt.NDArray[np.int64]:
        """Units that an instruction (column) takes less behind another (row), by class."""
        names = self.names
        saved = np.zeros((len(names), len(names)), np.int64)
        for before, costs in self.after.items():
            for name, cycles in costs.items():
                less = self.cost(name).base - cycles
                saved[names.index(before), names.index(name)] = round(less * UNITS)
        return saved

    def classify(self, code: bytes) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
        """What would begin at each half word of some code: its class, and what it takes in units.

        Args:
            code: Little-endian.
        """
        halves = np.frombuffer(code[: len(code) // 2 * 2], "<u2").astype(np.uint32)
        following = np.append(halves[1:], np.uint32(0))
        if self.encoding == "thumb":
            is_long = halves >= 0xE800
            long = halves << np.uint32(_HALF_BITS) | following
        else:
            is_long = (halves & 3) == 3
            long = following << np.uint32(_HALF_BITS) | halves
        kinds = np.zeros(halves.shape, np.uint8)
        units = np.full(halves.shape, round(self.cost(OTHER).base * UNITS), np.int64)
        is_open = np.ones(halves.shape, bool)
        for kind, (name, patterns) in enumerate(self.classes.items(), 1):
            cost = self.cost(name)
            for pattern in patterns:
                words = long if pattern.length > _HALF_BITS else halves
                fits = is_open & (is_long == (pattern.length > _HALF_BITS))
                fits &= (words & np.uint32(pattern.mask)) == pattern.value
                kinds[fits] = kind
                number = (words & np.uint32(pattern.number)) + _bits_set(words, pattern.counted)
                units[fits] = np.round((cost.base + cost.each * number) * UNITS)[fits]
                is_open &= ~fits
        return kinds, np.minimum(units, _MOST_UNITS).astype(np.uint16)


def _bits_set(words: Words, mask: int) -> npt.NDArray[np.uint32]:
    masked = words & np.uint32(mask)
    return sum(
        ((masked >> np.uint32(bit)) & np.uint32(1) for bit in range(32) if mask >> bit & 1),
        np.zeros(words.shape, np.uint32),
    )


@functools.cache
def core_model(core: str) -> CoreModel | None:
    """What is known of a core.

    Args:
        core: As board definitions name it in `cpu.core`.
    """
    table = _read(f"{core}.toml")
    if table is None or "name" not in table:
        return None
    encoding = _read(f"{table['encoding']}.toml")
    assert encoding is not None
    costs = {
        name: Cost(**cost) if isinstance(cost, dict) else Cost(cost)
        for name, cost in table.get("cycles", {}).items()
    }
    classes = {
        name: tuple(map(Pattern.parse, patterns)) for name, patterns in encoding["classes"].items()
    }
    return CoreModel(
        table["name"],
        table["encoding"],
        table["source"],
        table["error"],
        table["taken_branch"],
        table.get("free_branch", ""),
        costs,
        table.get("after", {}),
        classes,
    )


def _read(name: str) -> dict[str, Any] | None:
    path = CORES / name
    if not name.isascii() or "/" in name or not path.is_file():
        return None
    table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return table


def write_costs(path: Path, program: Path, model: CoreModel) -> None:
    """Write what the instructions of a program take, for the plugin.

    In the byte order of this machine: the number of classes, the units of a taken branch and the
    class of branches that take none (uint32 each; a number that no class has if all do); what is
    saved, by the class before and the class (int16); then for each section of code its address and
    number of half words (uint64 each), the units at each half word (uint16) and the class (uint8).

    Args:
        path: The file.
        program: An ELF file.
        model: Of the core.

    Raises:
        BuildError: The program is not an ELF file.
    """
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    saved = model.saved()
    free = model.names.index(model.free_branch) if model.free_branch else len(saved)
    parts = [struct.pack("=III", len(saved), round(model.taken_branch * UNITS), free)]
    parts.append(saved.astype(np.int16).tobytes())
    try:
        with program.open("rb") as file:
            for section in ELFFile(file).iter_sections():
                if section["sh_flags"] & _SHF_EXECINSTR and section["sh_type"] != "SHT_NOBITS":
                    kinds, units = model.classify(section.data())
                    parts += [
                        struct.pack("=QQ", section["sh_addr"], len(kinds)),
                        units.tobytes(),
                        kinds.tobytes(),
                    ]
    except ELFError as error:
        raise BuildError(
            f"{program} is not an ELF program: {error}", cure="build the project again"
        ) from error
    path.write_bytes(b"".join(parts))
