"""What each platform can do for each board, asked of its server once and kept in the cache.

An answer is kept as long as nothing it rests on has changed: the template, the definition of the
board, PATH and other variables that the server names, and each program and file that it found.
A run for which all answers are kept starts no process to learn about toolchains.

    <cache>/toolchains/<key>.json     the answer for one board, platform and PATH
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_microtvm.boards import Board
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.flow.build_id import template_hash
from pytest_microtvm.forks import Forks
from pytest_microtvm.project.answers import keep_answer, kept_answer
from pytest_microtvm.project.platforms import Platform, find_platform, load_platforms
from pytest_microtvm.project.server.api import BoardSupport, Tool
from pytest_microtvm.project.support import ask_platform

ASK_TIMEOUT_S = 60.0
FOLDER = "toolchains"


class Toolchains:
    """Asks platforms about boards.

    Args:
        directory: The cache's folder.
        platforms: All platforms by name; None for those that are found without being told where.
        forks: Starts their servers; None where each is to have a process by itself.
    """

    def __init__(
        self,
        directory: Path,
        platforms: Mapping[str, Platform] | None = None,
        forks: Forks | None = None,
    ) -> None:
        self._forks = forks
        self.platforms = load_platforms() if platforms is None else platforms
        self._directory = directory / FOLDER
        self._known: dict[Board, BoardSupport] = {}

    def platform(self, board: Board) -> Platform:
        """The platform that is chosen for a board.

        Raises:
            ConfigError: There is no platform of that name.
        """
        return find_platform(self.platforms, board.platform)

    def support(self, board: Board) -> BoardSupport:
        """What a board's platform can do for it on this machine.

        Raises:
            ConfigError: There is no such platform, or it cannot serve the board.
            BuildError: Its server does not answer.
        """
        if board not in self._known:
            platform = self.platform(board)
            question = _hash(template_hash(platform), board.to_json())
            place = _hash(board.label, str(board.path), str(platform.directory), _path())
            path = self._directory / f"{place}.json"
            support = _kept_support(path, question)
            if support is None:
                (support,) = ask_platform(
                    platform, [board], Deadline(ASK_TIMEOUT_S), identify=True, forks=self._forks
                )
                _keep_support(path, question, support)
            self._known[board] = support
        return self._known[board]

    def toolchain_id(self, board: Board) -> str:
        """The id of the toolchain that builds a board's firmware.

        A toolchain that its platform cannot identify has another id in each process: firmware that
        another run built may be of another toolchain.
        """
        toolchain = self.support(board).toolchain
        return _unknown_toolchain() if toolchain is None else toolchain

    def name_of(self, board: Board) -> str:
        """The toolchain as its compiler names itself; empty where its platform does not tell."""
        return (self.support(board).toolchain or "").partition("\n")[0]

    def require(self, board: Board, ability: str) -> None:
        """Make sure that a board's platform can do something with it.

        Args:
            board: The board.
            ability: `FLASH`, for instance; see `BoardSupport`.

        Raises:
            ConfigError: It cannot, or as of `support`. A platform that is not known here is left
                to the server of its project.
        """
        if board.platform not in self.platforms:
            return
        if ability not in self.support(board).abilities:
            others = [name for name in board.platforms if name != board.platform]
            raise ConfigError(
                f"the platform {board.platform} cannot {ability} {board.name}",
                cure=f"choose another one: {', '.join(others)}" if others else "",
                board=board.label,
            )


@functools.cache
def _unknown_toolchain() -> str:
    return f"unknown {uuid.uuid4()}"


def _kept_support(path: Path, question: str) -> BoardSupport | None:
    """The answer in a file; None if there is none, or if anything it rests on has changed."""
    kept = kept_answer(path)
    if kept is None or kept["question"] != question:
        return None
    support = BoardSupport(
        tuple(Tool(*tool) for tool in kept["tools"]),
        kept["toolchain"],
        tuple(kept["abilities"]),
        tuple(kept["environment"]),
    )
    return support if kept["grounds"] == _grounds(support) else None


def _keep_support(path: Path, question: str, support: BoardSupport) -> None:
    """Keep an answer, if it is one that can be relied upon later. Never raises."""
    grounds = _grounds(support)
    if support.lasting and support.toolchain is not None and grounds is not None:
        keep_answer(path, {"question": question, "grounds": grounds, **support._asdict()})


def _grounds(support: BoardSupport) -> dict[str, Any] | None:
    """What an answer rests on; None if a tool has gone, has come, or is another one now."""
    tools: list[list[int]] = []
    for tool in support.tools:
        found = shutil.which(tool.name)
        if found is not None and found != tool.path:
            return None
        if tool.path is None:
            tools.append([])
            continue
        try:
            status = Path(tool.path).stat()
        except OSError:
            return None
        tools.append([status.st_mtime_ns, status.st_size, status.st_ino])
    variables = {name: os.environ.get(name) for name in support.environment}
    return {"tools": tools, "variables": variables}


def _path() -> str:
    return os.environ.get("PATH", os.defpath)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]
