"""Archives: written, opened, unpacked."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.mlf.archive import pack_library
from pytest_microtvm.mlf.library import (
    KernelSpec,
    TensorSpec,
    extract_library,
    open_library,
)
from tests.unit.mlf.archives import METADATA, altered, files, kernel, kernels, packed


def test_what_is_written_can_be_opened(tmp_path: Path):
    path = packed(tmp_path / "net.tar")
    opened = open_library(path)
    assert (opened.path, opened.name, opened.executors) == (path, "net", ("aot",))
    assert (opened.workspace_bytes, opened.constants_bytes) == (96, 40)
    assert opened.inputs == (TensorSpec("x:0", (1, 2), "float32", 8, "x_0"),)
    assert opened.outputs == (TensorSpec("y", (2,), "int8", 2, "y"),)
    assert opened.metadata == METADATA
    assert opened.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_kernels_are_known_by_name(tmp_path: Path):
    second = kernel(function_name="m", workspace=[], macs=1000)
    metadata = altered(kernels(kernel(), second))
    opened = open_library(packed(tmp_path / "net.tar", files(metadata)))
    assert opened.kernels == (KernelSpec("k", 64, None), KernelSpec("m", 0, 1000))


def test_the_same_files_give_the_same_bytes_in_any_order(tmp_path: Path):
    one, other = files(), dict(reversed(list(files().items())))
    assert pack_library(one) == pack_library(other)
    packed(tmp_path / "a.tar", one)
    packed(tmp_path / "b.tar", other)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        for member in archive:
            assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")


def test_extraction_writes_all_members(tmp_path: Path):
    extract_library(packed(tmp_path / "net.tar"), tmp_path / "out" / "deep")
    for name, content in files().items():
        assert (tmp_path / "out" / "deep" / name).read_bytes() == content


def test_writing_replaces_an_old_archive_and_leaves_nothing_else(tmp_path: Path):
    (tmp_path / "net.tar").write_bytes(b"old")
    packed(tmp_path / "net.tar")
    open_library(tmp_path / "net.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["net.tar"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ConfigError, match="No space left"):
        packed(tmp_path / "net.tar")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="nowhere"):
        packed(tmp_path / "nowhere" / "net.tar")
