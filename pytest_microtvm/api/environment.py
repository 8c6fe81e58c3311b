"""Where things are and how patient to be, for every function of the API."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_microtvm.boards import Board, load_boards
from pytest_microtvm.boards.selection import Readiness, board_of, unknown_board
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.flow.cache import DEFAULT_LIMIT_BYTES, Cache, default_cache_directory
from pytest_microtvm.flow.harness import Harness
from pytest_microtvm.flow.harness_options import HarnessOptions
from pytest_microtvm.flow.opening import open_harness
from pytest_microtvm.flow.progress import silent
from pytest_microtvm.flow.workshop import Workshop
from pytest_microtvm.lab.file import LabBoard, find_lab_file, load_lab
from pytest_microtvm.project.platforms import Platform, load_platforms
from pytest_microtvm.project.support import readiness_of

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Environment:
    """Where things are and how patient to be; the defaults are those of a pytest run.

    Attributes:
        cache_dir: Where compiled models and built firmware are kept; None for the user's own.
        cache_limit_bytes: How large it may grow.
        boards_dirs: Folders with more board definitions, `NAME.toml`.
        platforms_dirs: Folders of more platforms, or folders with several of them.
        lab: The lab file, which names the real boards that are here; None for the one that the
            environment variable `MICROTVM_LAB` names, or else `microtvm-lab.toml` in the current
            folder.
        timeout_s: For opening a device, and for each call to it.
        lease_timeout_s: For waiting until a real board is free.
        count_instructions: Whether emulators count instructions; they are faster when they do not.
        progress: Told each step that takes time, as one line.
        log: Told each line that a device logs.
    """

    cache_dir: StrPath | None = None
    cache_limit_bytes: int = DEFAULT_LIMIT_BYTES
    boards_dirs: Sequence[StrPath] = ()
    platforms_dirs: Sequence[StrPath] = ()
    lab: StrPath | None = None
    timeout_s: float = 60.0
    lease_timeout_s: float = 600.0
    count_instructions: bool = True
    progress: Callable[[str], None] = silent
    log: Callable[[str], None] = silent

    def boards(self) -> dict[str, Board]:
        """Every board that can be named, by name.

        Raises:
            ConfigError: A folder or a definition is wrong.
        """
        return load_boards([Path(directory) for directory in self.boards_dirs])

    def platforms(self) -> dict[str, Platform]:
        """Every platform, by name.

        Raises:
            ConfigError: A folder is wrong.
        """
        return load_platforms([Path(directory) for directory in self.platforms_dirs])

    def board(self, name: str, platform: str | None = None) -> Board:
        """A board by its name.

        Args:
            name: The name of its definition, or NAME/PLATFORM.
            platform: The platform that makes its firmware; None for the board's default.

        Raises:
            ConfigError: There is no such board, or it is not on that platform.
        """
        boards = self.boards()
        if name.partition("/")[0] not in boards:
            raise unknown_board(name, boards)
        board = board_of(boards, name)
        return board if platform is None else board.on(platform)

    def readiness(self, boards: Iterable[Board]) -> dict[str, Readiness]:
        """What of some boards can be had on this machine, by label.

        Raises:
            ConfigError: A platform cannot serve a board, or the lab file is wrong.
        """
        deadline = Deadline(self.timeout_s)
        return readiness_of(boards, self.platforms(), self.lab_kinds(), deadline)

    def lab_kinds(self) -> frozenset[str]:
        """The names of boards that the lab has a real one of.

        Raises:
            ConfigError: The lab file or a definition is wrong.
        """
        return frozenset(board.kind for board in self.lab_boards())

    def lab_boards(self) -> tuple[LabBoard, ...]:
        """The real boards that the lab has.

        Raises:
            ConfigError: As of `lab_kinds`.
        """
        return self._load_lab(self.boards())

    @contextlib.contextmanager
    def open_workshop(self) -> Iterator[Workshop]:
        """What compiles and builds, with the cache.

        Raises:
            ConfigError: The cache cannot be written, or a folder of platforms is wrong.
        """
        with self._open_cache() as cache:
            yield Workshop(cache, progress=self.progress, platforms=self.platforms())

    @contextlib.contextmanager
    def open_harness(
        self,
        options: HarnessOptions,
        more_lab: Sequence[LabBoard] = (),
        *,
        always_flash: bool = False,
    ) -> Iterator[Harness]:
        """What compiles, builds, runs and compares, with the boards that are here.

        Args:
            options: For all that is done with it.
            more_lab: Real boards in place of those of the lab file of the same kind.
            always_flash: Flash real boards also with what they run already.

        Raises:
            ConfigError: A definition, the lab file or the cache cannot be used.
        """
        boards = self.boards()
        kinds = {board.kind for board in more_lab}
        lab = [board for board in self._load_lab(boards) if board.kind not in kinds]
        with (
            self._open_cache() as cache,
            open_harness(
                cache,
                boards,
                options,
                platforms=self.platforms(),
                lab=[*more_lab, *lab],
                always_flash=always_flash,
                progress=self.progress,
            ) as harness,
        ):
            yield harness

    @contextlib.contextmanager
    def _open_cache(self) -> Iterator[Cache]:
        directory = default_cache_directory() if self.cache_dir is None else Path(self.cache_dir)
        cache = Cache(directory, self.cache_limit_bytes, progress=self.progress)
        cache.open()
        try:
            yield cache
        finally:
            cache.close()

    def _load_lab(self, boards: dict[str, Board]) -> tuple[LabBoard, ...]:
        named = None if self.lab is None else Path(self.lab)
        path = find_lab_file(named, None, Path.cwd())
        return () if path is None else load_lab(path, boards)
