"""How tests of the plugin run pytest."""

from __future__ import annotations

import os
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


def plugin_command(*arguments: str | Path) -> list[str]:
    """A pytest command line that is not touched by this project's own settings.

    labgrid's plugin takes half a second of each process; `-p labgrid` brings it back.
    """
    plugins = ["-p", "no:cacheprovider", "-p", "no:labgrid"]
    return [sys.executable, "-m", "pytest", *plugins, "--color=no", *map(str, arguments)]


def plugin_environment(**changes: str) -> dict[str, str]:
    """The environment for it: no terminal width, no settings of an outer pytest."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "COV_")) and name != "CI"
    }
    return {**environment, "COLUMNS": "200", **changes}


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
