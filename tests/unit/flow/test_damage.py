"""A damaged cache: whatever happened to an entry, it is made anew with a line that says so."""

from __future__ import annotations

import os
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.flow.cache import Cache
from pytest_microtvm.flow.manifest import MANIFEST, find_damage

CONTENT = {"model.tar": b"archive", "project/run": b"#!/bin/sh", "project/data.json": b"{}"}


def make(directory: Path) -> None:
    for name, content in CONTENT.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_bytes(content)
    (directory / "project" / "run").chmod(0o755)
    (directory / "project" / "link").symlink_to("run")
    (directory / "project" / "empty").mkdir()


def obtain(directory: Path) -> tuple[Path, bool, list[str]]:
    """The entry, as a new process has it; whether it was cached; the lines that were told."""
    told: list[str] = []
    cache = Cache(directory, progress=told.append)
    cache.open()
    entry = cache.obtain("kind", "key", make, Deadline(5))
    cache.close()
    return entry.path, entry.cached, told


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    path, cached, told = obtain(tmp_path / "cache")
    assert (cached, told) == (False, [])
    assert obtain(tmp_path / "cache") == (path, True, [])
    return path


def assert_made_anew(entry: Path, reason: str) -> None:
    directory = entry.parent.parent
    path, cached, told = obtain(directory)
    assert not cached
    assert len(told) == 1
    assert reason in told[0]
    assert {name: (path / name).read_bytes() for name in CONTENT} == CONTENT
    assert obtain(directory) == (path, True, [])
    assert list((directory / "tmp").iterdir()) == []


def test_a_flipped_bit_in_any_file(entry: Path) -> None:
    generator = random.Random(1)
    for name in (*CONTENT, MANIFEST):
        for _ in range(20):
            data = bytearray((entry / name).read_bytes())
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
            (entry / name).write_bytes(data)
            assert_made_anew(entry, "because")


def lose_everything(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


def become_a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("no folder")


def become_a_link(path: Path) -> None:
    target = path.with_name("elsewhere")
    path.rename(target)
    path.symlink_to(target)


def become_another_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("data.json")


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "cut": ("model.tar", lambda path: path.write_bytes(b"arch")),
    "emptied": ("model.tar", lambda path: path.write_bytes(b"")),
    "removed": ("model.tar", lambda path: path.unlink()),
    "a pipe": ("model.tar", become_a_pipe),
    "a link": ("model.tar", become_a_link),
    "no program": ("project/run", lambda path: path.chmod(0o644)),
    "another link": ("project/link", become_another_link),
    "a folder less": ("project/empty", lambda path: path.rmdir()),
    "a folder as file": ("project", become_a_file),
    "a folder as link": ("project", become_a_link),
    "no manifest": (MANIFEST, lambda path: path.unlink()),
    "an empty manifest": (MANIFEST, lambda path: path.write_bytes(b"")),
    "a broken manifest": (MANIFEST, lambda path: path.write_bytes(b"[" * 100_000)),
    "another manifest": (MANIFEST, lambda path: path.write_bytes(b"[]")),
    "a manifest of nothing": (
        MANIFEST,
        lambda path: path.write_text('{"version":1,"parts":[]}'),
    ),
    "a folder as manifest": (MANIFEST, become_a_folder),
    "names not of files": (
        MANIFEST,
        lambda path: path.write_text('{"version":1,"parts":{"\\u0000":""}}'),
    ),
    "nothing left": ("", lose_everything),
    "a file": ("", become_a_file),
    "a link to a folder": ("", become_a_link),
    "its kind a file": ("..", lambda path: become_a_file(path.resolve())),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_other_damage(entry: Path, damage: str) -> None:
    name, inflict = DAMAGES[damage]
    inflict(entry / name)
    assert_made_anew(entry, "because")


@pytest.mark.parametrize("name", ["locks", "tmp"])
def test_a_file_in_place_of_a_folder_of_the_cache(entry: Path, name: str) -> None:
    become_a_file(entry.parents[1] / name)
    assert obtain(entry.parents[1]) == (entry, True, [])


def test_a_folder_in_place_of_a_lock(entry: Path) -> None:
    (entry / "model.tar").unlink()
    lock = entry.parents[1] / "locks" / "key"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    assert_made_anew(entry, "because")


def test_what_tools_leave_in_a_project_is_no_damage(entry: Path) -> None:
    (entry / "project" / "__pycache__").mkdir()
    (entry / "project" / "log").write_text("flashed")
    assert obtain(entry.parents[1]) == (entry, True, [])


def test_a_cache_of_ones_own_is_closed_to_others(entry: Path) -> None:
    directory = entry.parents[1]
    for path in (directory, directory / "kind", directory / "locks"):
        path.chmod(0o777)
    (entry / "model.tar").unlink()
    obtain(directory)
    for path in (directory, directory / "kind", directory / "locks"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o022


@pytest.mark.parametrize(
    ("name", "reason"),
    [("manifest.json", "its manifest is not this user's alone"), ("..", "other users can write")],
)
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_could_write_is_not_used(
    entry: Path, name: str, reason: str, mode: int
) -> None:
    path = entry / name
    path.chmod(stat.S_IMODE(path.stat().st_mode) | mode)
    assert_made_anew(entry, reason)


def test_an_entry_is_closed_to_others_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path, _, _ = obtain(tmp_path / "cache")
        assert obtain(tmp_path / "cache") == (path, True, [])
    finally:
        os.umask(before)
    closed = (path.parent, path / MANIFEST)
    assert [stat.S_IMODE(each.stat().st_mode) for each in closed] == [0o700, 0o600]


def test_a_folder_of_a_tool_that_others_could_write_is_made_anew(tmp_path: Path) -> None:
    told: list[str] = []
    cache = Cache(tmp_path, progress=told.append)
    cache.open()
    folder = cache.folder("objects", "ccache")
    (folder / "object").write_text("")
    assert cache.folder("objects", "ccache") == folder
    assert ((folder / "object").exists(), told) == (True, [])
    for path in (folder.parent, folder):
        path.chmod(0o777)
        assert list(cache.folder("objects", "ccache").iterdir()) == []
        assert "because others can write to it" in told.pop()
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        (folder / "object").write_text("")


def test_a_folder_of_something_else_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("")
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="chmod go-w"):
        obtain(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o777


@pytest.fixture
def another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process take itself for another user than the one that owns the files."""
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)


def test_what_another_user_made_is_not_used(entry: Path, another_user: None) -> None:
    assert find_damage(entry) == "its manifest is not this user's alone"


@pytest.mark.parametrize("name", ["model.tar", "project"])
def test_parts_that_another_user_made_are_not_used(
    entry: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lstat, fstat, inode = os.lstat, os.fstat, (entry / name).stat().st_ino

    def give_away(about: os.stat_result) -> os.stat_result:
        return os.stat_result((*about[:4], about.st_uid + (about.st_ino == inode), *about[5:]))

    monkeypatch.setattr(os, "fstat", lambda fd: give_away(fstat(fd)))
    monkeypatch.setattr(Path, "lstat", lambda path: give_away(lstat(path)))
    assert repr(name) in find_damage(entry)


def test_a_cache_of_another_user_is_refused(entry: Path, another_user: None) -> None:
    with pytest.raises(ConfigError, match="belongs to another user"):
        obtain(entry.parents[1])


def test_a_folder_that_another_user_put_into_a_cache_is_refused(
    entry: Path, another_user: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cache, "_check_private", lambda cache: None)  # as below /tmp
    with pytest.raises(ConfigError, match="belongs to another user"):
        obtain(entry.parents[1])
