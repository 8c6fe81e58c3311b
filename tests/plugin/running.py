"""How tests of the plugin run pytest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODELS = Path(__file__).parents[2] / "conftest_examples" / "models"
RUN_TIMEOUT_S = 240.0


@dataclass(frozen=True)
class Outcome:
    """How a pytest process ended."""

    status: int
    output: str
    records: list[dict[str, Any]] | None

    @property
    def summary(self) -> str:
        """The last line."""
        return self.output.strip().splitlines()[-1]

    def lines(self, text: str) -> list[str]:
        """The lines that contain a text."""
        return [line for line in self.output.splitlines() if text in line]


RunPytest = Callable[..., Outcome]
WarmCache = Callable[..., tuple[Path, Outcome]]

_NO_ENTRIES = ("locks", "tmp")
_CLOCK_STEP_S = 0.1  # file systems take their time from a coarse clock


def copy_cache(cache: Path, copy: Path, since: float) -> None:
    """Copy the entries of a cache that were used since a time.

    Args:
        cache: The cache, which others may be using.
        copy: The new cache.
        since: As `time.time()` gives it.
    """
    copy.mkdir(mode=0o700)
    for entry in cache.glob("*/*"):
        kind = entry.parent.name
        if kind in _NO_ENTRIES or entry.stat().st_mtime < since - _CLOCK_STEP_S:
            continue
        (copy / kind).mkdir(exist_ok=True)
        if entry.is_dir():
            shutil.copytree(entry, copy / kind / entry.name, symlinks=True)
        else:
            shutil.copy2(entry, copy / kind)


def plugin_command(*arguments: str | Path) -> list[str]:
    """A pytest command line that is not touched by this project's own settings.

    labgrid's plugin takes half a second of each process; `-p labgrid` brings it back, and so does
    `-p html` the report of pytest-html.
    """
    plugins = ["-p", "no:cacheprovider", "-p", "no:labgrid", "-p", "no:html"]
    return [sys.executable, "-m", "pytest", *plugins, "--color=no", *map(str, arguments)]


def plugin_environment(**changes: str) -> dict[str, str]:
    """The environment for it: no terminal width, no settings of an outer pytest."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "COV_", "GITHUB_")) and name != "CI"
    }
    return {**environment, "COLUMNS": "200", **changes}


def run_plugin(
    workspace: Path,
    *arguments: str | Path,
    cache: Path | None,
    env: dict[str, str] | None = None,
    status: int | None = None,
) -> Outcome:
    """Run pytest in a process of its own.

    Args:
        workspace: The folder to run it in.
        arguments: Its arguments.
        cache: The folder of the plugin's cache; None: the arguments say.
        env: Changes of the environment.
        status: The exit status that it has to have.
    """
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


def run_microtvm(*arguments: str, cwd: Path, **environment: str) -> tuple[int, str]:
    """Run the command `microtvm`.

    Returns:
        Its exit status, and what it printed.
    """
    program = (
        "import sys; from pytest_microtvm.command.main import main; sys.exit(main(sys.argv[1:]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=cwd,
        env=plugin_environment(**environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_TIMEOUT_S,
    )
    return result.returncode, result.stdout
