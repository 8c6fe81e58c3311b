"""Files that a user names: whole or not at all, and in nothing's place but a file's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_microtvm.files import read_own, write_whole
from pytest_microtvm.mlf.library import open_library, write_library
from tests.unit.mlf.archives import files


def test_a_pipe_stays_one(tmp_path: Path):
    """As /dev/stdout may be."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read_fd = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, b"{}")
    assert os.read(read_fd, 10) == b"{}"
    os.close(read_fd)
    assert pipe.is_fifo()


def test_a_link_stays_one(tmp_path: Path):
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    write_library(link, files())
    assert link.is_symlink()
    assert open_library(target).name == "net"


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"after")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"before"


def test_a_file_of_this_user_alone_is_read(tmp_path: Path):
    path = tmp_path / "answer"
    path.write_bytes(b"{}")
    path.chmod(0o644)
    assert read_own(path) == b"{}"


@pytest.mark.parametrize("what", ["group", "all", "link", "pipe", "folder", "another user"])
def test_what_others_can_have_written_is_not_read(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "answer"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "link":
        (tmp_path / "file").write_bytes(b"{}")
        path.symlink_to("file")
    else:
        path.write_bytes(b"{}")
        path.chmod({"group": 0o660, "all": 0o606}.get(what, 0o600))
    if what == "another user":
        other = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: other)
    with pytest.raises(OSError, match=r"no file|another user|symbolic links"):
        read_own(path)
