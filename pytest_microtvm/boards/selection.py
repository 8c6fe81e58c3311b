"""Which boards are meant: by name, by glob, by tag, or all that can run here."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_microtvm.boards import Board
from pytest_microtvm.errors import ConfigError

ALL = "all"
AVAILABLE = "available"
LAB = "lab"
PLATFORM_TAG = "platform:"
NO_SIMD = "none"
THE_BOARD = "the board itself"
"""What is missing of one that nothing emulates and no lab has."""
_MOST_NEAR = 4
_NEAR = 0.6
"""How alike names are to be taken for slips of each other."""


@dataclass(frozen=True)
class Selection:
    """Boards to run on.

    Attributes:
        boards: Their labels, in the order they were asked for.
        by_name: Those that were asked for by their own name. A model that does not fit one of
            these is an error; on the others it is passed over.
    """

    boards: tuple[str, ...]
    by_name: frozenset[str]


@dataclass(frozen=True)
class Readiness:
    """What of a board can be had on this machine.

    Attributes:
        to_build: What is missing to build firmware for it; nothing if that can be done.
        to_run: What is missing besides to run it.
        install: The commands that install what is missing, where they are known.
    """

    to_build: tuple[str, ...] = ()
    to_run: tuple[str, ...] = ()
    install: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether firmware can be built and run here."""
        return not self.to_build and not self.to_run

    @property
    def word(self) -> str:
        """It in one word or two."""
        return "runs" if self.runs else "no" if self.to_build else "builds"


Ready = Callable[[Sequence["Board"]], Mapping[str, Readiness]]
"""Finds out what of some boards can be had here, by label."""


def select_boards(
    boards: Mapping[str, Board],
    patterns: Sequence[str],
    platforms: Sequence[str] = (),
    lab: Collection[str] | None = frozenset(),
    ready: Ready = lambda boards: {},
) -> Selection:
    """Find the boards that are meant.

    Args:
        boards: All there are, by name.
        patterns: Names; globs (`mps2_*`); either with a platform (`mps2_an521/zephyr`); tags
            (`arch:arm`, `core:cortex-m4`, `platform:host`, `emulated`); `all`; `available`; `lab`.
            None with `platforms` means all that these serve.
        platforms: Each board runs on those of these that serve it; if there are none, on its
            default platform, or on the one that its pattern names.
        lab: The names of boards that the lab has a real one of. Others that nothing emulates
            cannot be named, and a pattern does not mean them; None where nothing will be run.
        ready: Finds out what of some boards can be had here; asked where that matters only.

    Raises:
        ConfigError: A pattern means no board, or no platform that was asked for serves a board.
    """
    known = sorted({platform for board in boards.values() for platform in board.platforms})
    for platform in platforms:
        if platform not in known:
            raise ConfigError(
                f"no board has the platform {platform!r}", cure=f"platforms: {', '.join(known)}"
            )
    every = [board.on(platform) for board in boards.values() for platform in board.platforms]
    served = [
        board
        for board in every
        if (board.platform in platforms if platforms else board.platform == board.platforms[0])
    ]
    chosen: dict[str, Board] = {}
    by_name = set()
    for pattern in patterns or ([ALL] if platforms else []):
        if pattern in boards:
            _check_served(boards[pattern], platforms)
        names_platform = "/" in pattern or pattern.startswith(PLATFORM_TAG)
        pool = every if names_platform else served
        if pattern == AVAILABLE:
            states = ready(pool)
            found = [board for board in pool if states[board.label].runs]
            if not found:
                raise _none_available(states)
        else:
            found = [board for board in pool if matches(board, pattern, lab or ())]
        if not found:
            raise _unknown(boards, pattern)
        if platforms:
            found = [board for board in found if board.platform in platforms]
        found = found if lab is None or not found else _here(found, lab, ready)
        if not patterns:
            _check_any_builds(platforms, ready(found))
        chosen.update((board.label, board) for board in found)
        if pattern in boards or "/" in pattern:
            by_name |= {board.label for board in found if pattern in (board.name, _full(board))}
    return Selection(tuple(chosen), frozenset(by_name))


def board_of(boards: Mapping[str, Board], label: str) -> Board:
    """The board that a label of a `Selection` means."""
    name, _, platform = label.partition("/")
    return boards[name].on(platform) if platform else boards[name]


def _check_served(board: Board, platforms: Sequence[str]) -> None:
    """Make sure that a board, which was named, has one of the platforms asked for."""
    if platforms and not set(platforms) & set(board.platforms):
        board.on(platforms[0])


def _check_any_builds(platforms: Sequence[str], states: Mapping[str, Readiness]) -> None:
    """Make sure that there is one to build for, of boards that nobody named."""
    if not states or not all(state.to_build for state in states.values()):
        return
    first, *others = states.values()
    lacking = [each for each in first.to_build if all(each in s.to_build for s in others)]
    install = [each for each in first.install if all(each in s.install for s in others)]
    lacking = lacking or sorted({each for state in states.values() for each in state.to_build})
    raise ConfigError(
        f"no firmware can be built here with {' or '.join(platforms)}: missing "
        f"{', '.join(lacking)}",
        cure=" && ".join(install),
    )


def _full(board: Board) -> str:
    return f"{board.name}/{board.platform}"


def _here(found: list[Board], lab: Collection[str], ready: Ready) -> list[Board]:
    """Those of some boards that can be run here."""
    here = [board for board in found if board.name in lab or not board.is_real(False)]
    if not here:
        there = f"the lab has {', '.join(sorted(lab))}" if lab else "the lab has no boards"
        names = " or ".join(dict.fromkeys(board.name for board in found))
        lacking = sorted({each for state in ready(found).values() for each in state.to_build})
        build = (
            f"nor can its firmware be built here without {', '.join(lacking)}"
            if lacking
            else "--microtvm-build-only builds its firmware all the same"
        )
        raise ConfigError(
            f"no {names} is here, and nothing emulates it: {there}",
            cure=f"plug one in and run 'microtvm lab scan'; {build}",
        )
    return here


def matches(board: Board, pattern: str, lab: Collection[str] = ()) -> bool:
    """Whether a pattern means a board on its platform.

    Args:
        board: The board. One that is in question can run: `available` means it.
        pattern: As of `select_boards`.
        lab: Names of boards that the lab has a real one of.
    """
    if pattern in (ALL, AVAILABLE):
        return True
    if pattern == LAB:
        return board.name in lab
    subject = _full(board) if "/" in pattern else board.name
    return fnmatch.fnmatchcase(subject, pattern) or pattern in tags(board)


def tags(board: Board) -> tuple[str, ...]:
    """What a board can be selected by, beside its name."""
    cpu = board.cpu
    found = [f"{PLATFORM_TAG}{board.platform}", f"arch:{cpu.arch}"]
    for kind, value in (("core", cpu.core), ("fpu", cpu.fpu), ("float_abi", cpu.float_abi)):
        if value:
            found.append(f"{kind}:{value}")
    if cpu.simd != NO_SIMD:
        found.append(f"simd:{cpu.simd}")
    if board.emulator is not None:
        found.append("emulated")
    return tuple(found)


def _unknown(boards: Mapping[str, Board], pattern: str) -> ConfigError:
    if pattern == LAB:
        return ConfigError("the lab has no boards", cure="'microtvm lab scan' writes a lab file")
    if ":" in pattern:
        every = [board.on(platform) for board in boards.values() for platform in board.platforms]
        known = sorted({tag for board in every for tag in tags(board)})
        return ConfigError(f"no board has the tag {pattern!r}", cure=f"tags: {', '.join(known)}")
    return unknown_board(pattern, boards)


def unknown_board(name: str, boards: Iterable[str]) -> ConfigError:
    """That there is no such board, and which ones have names like it."""
    known = {board.lower(): board for board in boards}
    alike = [each for each in known if name.lower() in each][:_MOST_NEAR]
    alike = alike or difflib.get_close_matches(name.lower(), known, _MOST_NEAR, _NEAR)
    near = [known[each] for each in alike]
    meant = f"is {' or '.join(near)} meant? " if near else ""
    return ConfigError(
        f"unknown board {name!r}",
        cure=f"{meant}'microtvm boards' lists all; add your own with --microtvm-boards-dir",
    )


def _none_available(states: Mapping[str, Readiness]) -> ConfigError:
    boards: dict[tuple[str, ...], list[str]] = {}
    for label, state in states.items():
        if state.install and THE_BOARD not in state.to_run:
            boards.setdefault(state.install, []).append(label)
    lines = [
        f"for {', '.join(labels)}: {' && '.join(each)}"
        for each, labels in sorted(boards.items(), key=lambda pair: len("".join(pair[0])))
    ]
    return ConfigError(
        "no board can run here",
        cure=f"install what one of them takes; {'; '.join(lines)}" if lines else "",
    )
