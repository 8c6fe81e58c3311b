"""What platforms can do for boards on this machine: asked of their servers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from pytest_microtvm.boards import Board
from pytest_microtvm.boards.selection import THE_BOARD, Readiness
from pytest_microtvm.measure import counting

from ..deadline import Deadline
from ..errors import ConfigError
from ..forks import Forks
from .client import ProjectAPIClient
from .descriptions import ServerDescription
from .platforms import Platform
from .server.api import COUNT_INSTRUCTIONS, DEBUG, EMULATE, FLASH, BoardSupport
from .server.board_keys import check_table
from .server.errors import OptionError

GDB_OPTION = "gdbserver_port"
"""The project option by which an emulated board waits for gdb, at that port of this computer."""


def ask_platform(
    platform: Platform,
    boards: Sequence[Board],
    deadline: Deadline,
    *,
    identify: bool,
    forks: Forks | None = None,
) -> list[BoardSupport]:
    """Ask a platform's server what it can do for boards; it is started once for all of them.

    Args:
        platform: The platform.
        boards: Boards for which it is chosen.
        deadline: Ends it.
        identify: Ask for the toolchain's id as well, for which compilers may be run.
        forks: Starts the server; None for a process by itself.

    Returns:
        An answer for each board. A server that does not know the question, as those written for
        TVM, is taken at the board's word: it needs no tools that one could look for, and has a
        toolchain without an id.

    Raises:
        ConfigError: The platform cannot serve a board: a key of its table is unknown, missing or
            wrong. Names the definition's file.
    """
    with ProjectAPIClient(platform.directory, deadline, forks=forks) as client:
        description = client.info
        if description.platform_name != platform.name:
            raise ConfigError(
                f"the platform in {platform.directory} calls itself {description.platform_name}",
                cure=f"rename its folder to {description.platform_name}",
            )
        return [_ask(client, description, board, deadline, identify) for board in boards]


def _ask(
    client: ProjectAPIClient,
    description: ServerDescription,
    board: Board,
    deadline: Deadline,
    identify: bool,
) -> BoardSupport:
    try:
        if description.board_keys is not None:
            try:
                check_table(board.platform, description.board_keys, board.settings)
            except OptionError as error:
                raise ConfigError(str(error), cure=str(error.data["cure"])) from error
        definition = json.loads(board.to_json())
        answer = client.board_query(definition, deadline, identify=identify)
    except ConfigError as error:
        if board.path is None:
            raise
        raise ConfigError(
            f"{board.path}: {error.message}", cure=error.cure, board=board.label
        ) from error
    return _as_far_as_told(description, board) if answer is None else answer


def _as_far_as_told(description: ServerDescription, board: Board) -> BoardSupport:
    """What is known of a platform that does not answer."""
    abilities = []
    if board.emulator is not None:
        abilities.append(EMULATE)
        options = {option.name for option in description.options}
        if counting.OPTION in options:
            abilities.append(COUNT_INSTRUCTIONS)
        if GDB_OPTION in options:
            abilities.append(DEBUG)
    if board.flash is not None:
        abilities.append(FLASH)
    return BoardSupport(abilities=tuple(abilities))


def missing_tools(board: Board, support: BoardSupport, *, in_lab: bool) -> list[str]:
    """What a board's firmware cannot be built or run without and is not on this machine.

    Args:
        board: The board.
        support: What its platform says.
        in_lab: Whether there is a real one, so that nothing has to stand for it.
    """
    missing = [
        tool.name
        for tool in support.tools
        if tool.path is None and not (tool.purpose == EMULATE and board.is_real(in_lab))
    ]
    if board.is_real(in_lab) and not in_lab:
        missing.append(THE_BOARD)
    return missing


def readiness_of(
    boards: Iterable[Board],
    platforms: Mapping[str, Platform],
    lab: Iterable[str],
    deadline: Deadline,
) -> dict[str, Readiness]:
    """What of boards can be had on this machine, by label; each platform is asked once.

    Args:
        boards: Each on the platform that is meant.
        platforms: All there are.
        lab: Names of boards that the lab has a real one of.
        deadline: Ends it.

    Raises:
        ConfigError: A platform cannot serve a board.
    """
    in_lab = set(lab)
    by_platform: dict[str, list[Board]] = {}
    for board in boards:
        by_platform.setdefault(board.platform, []).append(board)
    found: dict[str, Readiness] = {}
    for name, served in by_platform.items():
        if name not in platforms:
            lacking = Readiness((f"the platform {name}",))
            found.update((board.label, lacking) for board in served)
            continue
        answers = ask_platform(platforms[name], served, deadline, identify=False)
        for board, support in zip(served, answers, strict=True):
            found[board.label] = _readiness(board, support, board.name in in_lab)
    return found


def _readiness(board: Board, support: BoardSupport, in_lab: bool) -> Readiness:
    missing = missing_tools(board, support, in_lab=in_lab)
    tools = {tool.name: tool for tool in support.tools if tool.path is None}
    building = tuple(name for name in missing if name in tools and tools[name].purpose != EMULATE)
    installs = (tools[name].install for name in missing if name in tools)
    return Readiness(
        building,
        tuple(name for name in missing if name not in building),
        tuple(dict.fromkeys(filter(None, installs))),
    )
