"""Puts a harness together: all that a run takes, opened and closed in one place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pytest_microtvm.boards import Board, load_boards
from pytest_microtvm.flow.cache import Cache, default_cache_directory
from pytest_microtvm.flow.harness import Harness
from pytest_microtvm.flow.harness_options import HarnessOptions
from pytest_microtvm.flow.progress import Progress, silent
from pytest_microtvm.flow.rig import Rig
from pytest_microtvm.flow.workshop import Workshop
from pytest_microtvm.forks import Forks
from pytest_microtvm.lab.file import LabBoard
from pytest_microtvm.lab.pool import Lab, Quarantine
from pytest_microtvm.project.platforms import Platform
from pytest_microtvm.session.bridges import Bridges
from pytest_microtvm.temporary import TemporaryFolder


@contextlib.contextmanager
def open_harness(
    cache: Cache | None = None,
    boards: Mapping[str, Board] | None = None,
    options: HarnessOptions | None = None,
    *,
    platforms: Mapping[str, Platform] | None = None,
    lab: Sequence[LabBoard] = (),
    quarantine: Path | None = None,
    command: str = "",
    always_flash: bool = False,
    progress: Progress = silent,
    detail: Progress = silent,
) -> Iterator[Harness]:
    """Open what compiles, builds, runs and compares, and close it at the end.

    Args:
        cache: An open cache; None for the user's.
        boards: All known boards by name; None for those that are found without being told where.
        options: For the whole run.
        platforms: All platforms by name; None for those that are found likewise.
        lab: The real boards that are here.
        quarantine: The folder where sick boards are noted, if several processes share it.
        command: What others who wait for a board are told; this process's command line if empty.
        always_flash: Flash real boards also with what they run already.
        progress: Told each step that takes time, as one line.
        detail: Told what goes on inside a step.

    Raises:
        ConfigError: The cache cannot be written, or a board's definition is wrong.
    """
    options = options or HarnessOptions()
    with contextlib.ExitStack() as resources:
        if cache is None:
            cache = Cache(default_cache_directory(), progress=progress)
            cache.open()
            resources.callback(cache.close)
        if quarantine is None:
            quarantine = resources.enter_context(TemporaryFolder("quarantine"))
        forks = resources.enter_context(Forks())
        bridges = Bridges(forks)
        harness = Harness(
            Workshop(
                cache,
                progress=progress,
                detail=detail,
                keep_projects=options.keep_projects,
                count_instructions=options.count_instructions,
                platforms=platforms,
                compile_timeout_s=options.compile_timeout_s,
                compile_memory_bytes=options.compile_memory_bytes,
                forks=forks,
            ),
            load_boards() if boards is None else boards,
            options,
            Rig(
                Lab(lab, Quarantine(quarantine), command),
                options.timeout_s,
                options.lease_timeout_s,
                progress,
                always_flash=always_flash,
                bridges=bridges,
            ),
            bridges,
        )
        resources.callback(harness.close)
        yield harness
