"""Temporary folders: gone with their process, whatever ends it and whatever is left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.process import package_environment
from pytest_microtvm.temporary import TemporaryFolder
from tests.patience import wait_until

OWNER = """
import sys
from pytest_microtvm.temporary import TemporaryFolder
folder = TemporaryFolder("run")
(folder.path / "file").write_text("")
print(folder.path, folder._caretaker.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / 'it\'s $(id) "tmp"'
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return directory


@pytest.fixture
def owner(parent: Path) -> Iterator[tuple[subprocess.Popen[str], Path, int]]:
    """A process with a folder, the folder, and the process that takes care of it."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=package_environment(),
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    path, pid = process.stdout.readline().rstrip().rsplit(" ", 1)
    yield process, Path(path), int(pid)
    process.kill()
    process.communicate()


def wait_until_gone(path: Path) -> None:
    wait_until(lambda: not path.exists())


def test_a_folder_is_removed_when_it_is_closed(parent: Path) -> None:
    with TemporaryFolder("run") as path:
        assert path.parent == parent
        (path / "file").write_text("")
        assert path.stat().st_mode & 0o777 == 0o700
    assert list(parent.iterdir()) == []


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT", "SIGKILL"])
def test_a_folder_goes_with_its_process(
    owner: tuple[subprocess.Popen[str], Path, int], name: str
) -> None:
    process, path, caretaker = owner
    assert (path / "file").exists()
    os.killpg(process.pid, getattr(signal, name))
    wait_until_gone(path)
    wait_until_gone(Path(f"/proc/{caretaker}"))


def test_what_nobody_took_care_of_is_removed_by_the_next(
    owner: tuple[subprocess.Popen[str], Path, int], parent: Path
) -> None:
    process, path, caretaker = owner
    os.kill(caretaker, signal.SIGKILL)
    with TemporaryFolder("run") as another:
        assert path.exists()  # its process lives
    process.kill()
    process.wait()
    assert path.exists()
    with TemporaryFolder("run") as another:
        assert list(parent.iterdir()) == [another]


def test_what_only_looks_like_one_stays(parent: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (parent / "microtvm-run-0123456789ab").symlink_to(tmp_path / "elsewhere")
    (parent / "microtvm-run-0123456789ac").write_text("")
    (parent / "microtvm-of-mine").mkdir()
    with TemporaryFolder("run"):
        pass
    assert len(list(parent.iterdir())) == 3
    assert (tmp_path / "elsewhere").exists()


def test_no_place_for_a_folder_is_a_config_error(parent: Path) -> None:
    tempfile.gettempdir()
    parent.rmdir()
    with pytest.raises(ConfigError, match="TMPDIR"):
        TemporaryFolder("run")
