"""Archives that were made to hurt."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from pytest_microtvm.errors import ModelError
from pytest_microtvm.mlf import archive
from pytest_microtvm.mlf.library import (
    extract_library,
    open_library,
)
from tests.unit.mlf.archives import files, packed


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


def with_members(path: Path, *members: tarfile.TarInfo) -> Path:
    """An honest archive with members added."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files().items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in members:
            archive.addfile(info, io.BytesIO(bytes(info.size)) if info.isreg() else None)
    return path


HOSTILE = {
    "dots": (member("../evil"), "leaves its folder"),
    "dots inside": (member("codegen/../../evil"), "leaves its folder"),
    "absolute": (member("/tmp/evil"), "leaves its folder"),
    "backslashes": (member("..\\evil"), "is not made of letters"),
    "newline": (member("a\nb"), "is not made of letters"),
    "command": (member("codegen/host/src/a`id>x`.c"), "is not made of letters"),
    "variable": (member("codegen/host/src/$(HOME).c"), "is not made of letters"),
    "space": (member("codegen/host/src/a b.c"), "is not made of letters"),
    "letter of another alphabet": (member("codegen/host/src/ä.c"), "is not made of letters"),
    "option": (member("-rf"), "or begins with -"),
    "option in a folder": (member("codegen/host/src/-o.c"), "or begins with -"),
    "command in a folder": (member("codegen/host/$(id)", tarfile.DIRTYPE), "is not made of"),
    "long": (member("a/" * 200 + "a"), "leaves its folder"),
    "dot": (member("."), "leaves its folder"),
    "symbolic link": (member("codegen/x", tarfile.SYMTYPE, "/etc/passwd"), "link or device"),
    "hard link": (member("x", tarfile.LNKTYPE, "metadata.json"), "link or device"),
    "character device": (member("x", tarfile.CHRTYPE), "link or device"),
    "block device": (member("x", tarfile.BLKTYPE), "link or device"),
    "fifo": (member("x", tarfile.FIFOTYPE), "link or device"),
    "duplicate": (member("metadata.json"), "twice"),
    "duplicate in disguise": (member("./codegen//host/./src/net_model.c"), "twice"),
    "file as folder": (member("codegen/host"), "as a file and a folder"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_members_are_refused_and_nothing_is_written(name: str, tmp_path: Path):
    info, message = HOSTILE[name]
    path = with_members(tmp_path / "net.tar", info)
    for use in (open_library, lambda p: extract_library(p, tmp_path / "out")):
        with pytest.raises(ModelError, match=message) as caught:
            use(path)
        assert caught.value.cure
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["net.tar"]


def test_folders_are_harmless(tmp_path: Path):
    path = with_members(tmp_path / "net.tar", member("codegen/host", tarfile.DIRTYPE))
    open_library(path)


def test_a_gigabyte_of_zeros_is_refused_without_reading_it(tmp_path: Path):
    path = packed(tmp_path / "net.tar")
    bomb = member("zeros")
    bomb.size = 1 << 30
    content = path.read_bytes().rstrip(b"\0")
    content += bytes(-len(content) % 512) + bomb.tobuf(tarfile.USTAR_FORMAT)
    with path.open("wb") as stream:
        stream.write(content)
        stream.truncate(len(content) + (1 << 30) + 1024)
    with pytest.raises(ModelError, match="more than 536870912"):
        open_library(path)


def test_a_sparse_member_that_claims_a_gigabyte_is_refused(tmp_path: Path):
    info = member("zeros")
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.size": str(1 << 40),
        "GNU.sparse.map": "0,0",
    }
    with pytest.raises(ModelError):
        open_library(with_members(tmp_path / "net.tar", info))


def test_unpacked_sizes_are_bounded_in_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 4000)
    infos = [member(f"f{i}") for i in range(5)]
    for info in infos:
        info.size = 900
    with pytest.raises(ModelError, match="unpacks to more than"):
        open_library(with_members(tmp_path / "net.tar", *infos))


def test_the_number_of_members_is_bounded(tmp_path: Path):
    infos = [member(f"f{i}") for i in range(archive.MAX_MEMBERS)]
    with pytest.raises(ModelError, match="more than 4096 members"):
        open_library(with_members(tmp_path / "net.tar", *infos))


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_compressed_archives_are_refused(mode: str, tmp_path: Path):
    with tarfile.open(tmp_path / "net.tar", mode) as archive:  # type: ignore[call-overload]
        archive.addfile(member("metadata.json"))
    with pytest.raises(ModelError, match="no uncompressed tar"):
        open_library(tmp_path / "net.tar")


@pytest.mark.parametrize("content", [b"", b"x", b"rubbish" * 1000, bytes(10240)])
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path):
    path = tmp_path / "net.tar"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"net\.tar"):
        open_library(path)


def test_every_truncation_is_noticed(tmp_path: Path):
    whole = packed(tmp_path / "net.tar").read_bytes()
    end = len(whole.rstrip(b"\0"))
    for length in range(0, end, 97):
        (tmp_path / "net.tar").write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"net\.tar"):
            extract_library(tmp_path / "net.tar", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE, tarfile.XHDTYPE])
def test_a_chain_of_headers_is_refused_in_one_line(kind: bytes, tmp_path: Path):
    header = member("a", kind)
    content = b"10 path=a\n" if kind != tarfile.GNUTYPE_LONGNAME else b"a\0"
    header.size = len(content)
    block = header.tobuf(tarfile.USTAR_FORMAT) + content.ljust(512, b"\0")
    (tmp_path / "net.tar").write_bytes(block * 3000 + packed(tmp_path / "honest.tar").read_bytes())
    with pytest.raises(ModelError, match=r"net\.tar") as caught:
        open_library(tmp_path / "net.tar")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("raised", [MemoryError(), KeyError("x"), RuntimeError(), IndexError()])
def test_whatever_reading_raises_is_one_line(
    raised: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(tarfile, "open", fail)
    (tmp_path / "net.tar").write_bytes(b"any")
    with pytest.raises(ModelError, match=type(raised).__name__):
        open_library(tmp_path / "net.tar")


@pytest.mark.parametrize("what", ["missing", "folder"])
def test_paths_that_are_no_files_are_refused(what: str, tmp_path: Path):
    path = tmp_path / "net.tar"
    if what == "folder":
        path.mkdir()
    with pytest.raises(ModelError, match=r"net\.tar"):
        open_library(path)
