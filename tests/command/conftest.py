"""The command in this process, in an empty folder, with a cache that the tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pytest_microtvm.command.main import main


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


Microtvm = Callable[..., Ended]


@pytest.fixture(scope="session")
def command_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def microtvm(
    tmp_path: Path,
    command_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Microtvm:
    """Run `microtvm` with these arguments."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(command_cache))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("MICROTVM_LAB", raising=False)

    def run(*arguments: str | Path, status: int | None = None) -> Ended:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse's own
            code = int(end.code or 0)
        captured = capsys.readouterr()
        if status is not None:
            assert code == status, captured.out + captured.err
        return Ended(code, captured.out, captured.err)

    return run
