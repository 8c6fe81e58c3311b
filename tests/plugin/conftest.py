"""Runs of the plugin in pytest processes of their own, which share one cache."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.plugin.running import (
    RUN_TIMEOUT_S,
    Outcome,
    RunPytest,
    plugin_command,
    plugin_environment,
)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that all tests share, so that each model is compiled and built once."""
    return tmp_path_factory.mktemp("cache")


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
        json_path = workspace / "records.json"
        json_path.unlink(missing_ok=True)
        command = plugin_command(f"--microtvm-json={json_path}", *arguments)
        if cache is not None:
            command.append(f"--microtvm-cache-dir={cache}")
        result = subprocess.run(
            command,
            cwd=workspace,
            env=plugin_environment(**(env or {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_TIMEOUT_S,
        )
        records = None
        if json_path.is_file():
            records = json.loads(json_path.read_text())["records"]
        if status is not None:
            assert result.returncode == status, result.stdout
        return Outcome(result.returncode, result.stdout, records)

    return run
