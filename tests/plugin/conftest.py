"""Runs of the plugin in pytest processes of their own, which share one cache."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import pytest_microtvm.flow.harness  # noqa: F401 - or pytester would unload it, and numpy, after runs
from tests.plugin.running import (
    Outcome,
    RunPytest,
    WarmCache,
    copy_cache,
    plugin_command,
    plugin_environment,
    run_plugin,
)


@pytest.fixture(scope="session")
def shared_cache(run_folder: Path) -> Path:
    """A cache that all tests share, so that each model is compiled and built once."""
    cache = run_folder / "shared_cache"
    cache.mkdir(mode=0o700, exist_ok=True)
    return cache


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """An empty project of a user's."""
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "pytest.ini").write_text("[pytest]\n")
    return directory


@pytest.fixture
def run_pytest(workspace: Path, shared_cache: Path) -> RunPytest:
    """Run pytest in the workspace; options that the test does not give have quiet defaults."""

    def run(
        *arguments: str | Path,
        cache: Path | None = shared_cache,
        env: dict[str, str] | None = None,
        status: int | None = None,
    ) -> Outcome:
        return run_plugin(workspace, *arguments, cache=cache, env=env, status=status)

    return run


@pytest.fixture
def warm_cache(run_pytest: RunPytest, shared_cache: Path, tmp_path: Path) -> WarmCache:
    """Run pytest with the shared cache, and copy what the run used: for a test to damage.

    Gives the copy, and how the run ended, which has to pass.
    """

    def warm(*arguments: str | Path) -> tuple[Path, Outcome]:
        start = time.time()
        outcome = run_pytest(*arguments, status=0)
        cache = tmp_path / "cache"
        copy_cache(shared_cache, cache, start)
        return cache, outcome

    return warm


@pytest.fixture
def run_pytest_inside(
    workspace: Path,
    shared_cache: Path,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
) -> RunPytest:
    """Run pytest in this process, for runs that end before a board is opened.

    There are no records, and the environment is this process's.
    """
    monkeypatch.chdir(workspace)
    for name in set(os.environ) - set(plugin_environment()):
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")

    def run(
        *arguments: str | Path, cache: Path = shared_cache, status: int | None = None
    ) -> Outcome:
        command = plugin_command(*arguments, f"--microtvm-cache-dir={cache}")
        result = pytester.runpytest_inprocess(*command[3:])
        output = f"{result.stdout}\n{result.stderr}"
        if status is not None:
            assert result.ret == status, output
        return Outcome(result.ret, output, None)

    return run
