"""Which boards are meant: by name, by glob, by tag, or all that can run here."""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_microtvm.boards import Board
from pytest_microtvm.errors import ConfigError

ALL = "all"
AVAILABLE = "available"
LAB = "lab"


@dataclass(frozen=True)
class Selection:
    """Boards to run on.

    Attributes:
        boards: Their names, in the order they were asked for.
        by_name: Those that were asked for by their own name. A model that does not fit one of
            these is an error; on the others it is passed over.
    """

    boards: tuple[str, ...]
    by_name: frozenset[str]


def select_boards(
    boards: Mapping[str, Board],
    patterns: Sequence[str],
    platform: str | None = None,
    lab: Collection[str] | None = frozenset(),
) -> Selection:
    """Find the boards that are meant.

    Args:
        boards: All there are, by name.
        patterns: Names; globs (`mps2_*`); tags (`arch:arm`, `core:cortex-m4`, `platform:host`,
            `emulated`); `all`; `available`; `lab`. None with `platform` means all of that platform.
        platform: Only boards of this one.
        lab: The names of boards that the lab has a real one of. Others that nothing emulates
            cannot be named, and a pattern does not mean them; None where nothing will be run.

    Raises:
        ConfigError: A pattern means no board, or a board is of another platform.
    """
    platforms = sorted({board.platform for board in boards.values()})
    if platform is not None and platform not in platforms:
        raise ConfigError(
            f"no board has the platform {platform!r}", cure=f"platforms: {', '.join(platforms)}"
        )
    names: list[str] = []
    for pattern in patterns or ([ALL] if platform is not None else []):
        found = [name for name, board in boards.items() if matches(board, pattern, lab or ())]
        if pattern in boards and platform not in (None, boards[pattern].platform):
            raise ConfigError(
                f"board {pattern} belongs to platform {boards[pattern].platform}, not {platform}",
                cure="leave --microtvm-platform out, or name a board of that platform",
            )
        if not found:
            raise _unknown(boards, pattern)
        found = [name for name in found if platform in (None, boards[name].platform)]
        names += found if lab is None or not found else _here(boards, found, lab)
    chosen = tuple(dict.fromkeys(names))
    return Selection(chosen, frozenset(chosen) & frozenset(patterns))


def _here(boards: Mapping[str, Board], found: list[str], lab: Collection[str]) -> list[str]:
    """Those of some boards that can be run here."""
    here = [name for name in found if name in lab or not boards[name].is_real(False)]
    if not here:
        there = f"the lab has {', '.join(sorted(lab))}" if lab else "the lab has no boards"
        raise ConfigError(
            f"no {' or '.join(found)} is here, and nothing emulates it: {there}",
            cure="plug one in and run 'microtvm lab scan', or try --microtvm-build-only",
        )
    return here


def matches(board: Board, pattern: str, lab: Collection[str] = ()) -> bool:
    """Whether a pattern means a board; `lab` names those that the lab has a real one of."""
    if pattern == ALL:
        return True
    if pattern == AVAILABLE:
        return not list(missing_tools(board, board.name in lab))
    if pattern == LAB:
        return board.name in lab
    return fnmatch.fnmatchcase(board.name, pattern) or pattern in tags(board)


def tags(board: Board) -> tuple[str, ...]:
    """What a board can be selected by, beside its name."""
    found = [f"platform:{board.platform}", f"arch:{board.cpu.arch}"]
    if board.cpu.core:
        found.append(f"core:{board.cpu.core}")
    if board.emulator is not None:
        found.append("emulated")
    return tuple(found)


def missing_tools(board: Board, in_lab: bool = False) -> Iterator[str]:
    """What a board's firmware cannot be built or run without and is not on this machine."""
    programs = [f"{board.toolchain.prefix}gcc", "make"]
    if board.emulator is not None and not board.is_real(in_lab):
        programs.append(board.emulator.program)
    yield from (program for program in programs if shutil.which(program) is None)
    files = (*board.toolchain.includes, *board.toolchain.libraries)
    by_path = (file for file in files if not file.startswith("-l"))
    yield from (file for file in by_path if not Path(file).exists())
    if board.is_real(in_lab) and not in_lab:
        yield "the board itself"


def _unknown(boards: Mapping[str, Board], pattern: str) -> ConfigError:
    if pattern == AVAILABLE:
        return ConfigError("no board can run here", cure="install a toolchain, see docker/install")
    if pattern == LAB:
        return ConfigError("the lab has no boards", cure="'microtvm lab scan' writes a lab file")
    if ":" in pattern:
        known = sorted({tag for board in boards.values() for tag in tags(board)})
        return ConfigError(f"no board has the tag {pattern!r}", cure=f"tags: {', '.join(known)}")
    return ConfigError(
        f"unknown board {pattern!r}",
        cure=f"boards: {', '.join(boards)}; add your own with --microtvm-boards-dir",
    )
