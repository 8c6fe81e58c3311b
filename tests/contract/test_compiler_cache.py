"""Sources that several projects share are compiled once, and give the same firmware."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_microtvm.boards import Board, load_boards
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.project import build_project, generate_project, platform_directory
from pytest_microtvm.project.server.compiler_cache import compiler_cache
from tests.contract.libraries import DOUBLE, FloatModel

TRIPLE = FloatModel(
    "triple", "void kernel(const float *x, float *y) { y[0] = 3.0f * x[0]; }", count=1
)


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CCACHE_DIR")
    return tmp_path / "objects"


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of the sources that the compiler, and not the cache, made objects of."""
    calls = tmp_path / "calls"
    script = tmp_path / "bin" / "gcc"
    script.parent.mkdir()
    script.write_text(
        f"""#!/bin/sh
for word; do
  case $word in -E) exec {shutil.which("gcc")} "$@" ;; *.c) source=$word ;; esac
done
[ -z "$source" ] || echo "$source" >>'{calls}'
exec {shutil.which("gcc")} "$@"
"""
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=":")
    return calls


def build(folder: Path, model: FloatModel, objects: Path | None) -> bytes:
    """Firmware for the host."""
    board: Board = load_boards()["host"]
    folder.mkdir()
    (folder / "board.json").write_text(board.to_json())
    generate_project(
        platform_directory("host"),
        model.write(folder / "model.tar"),
        folder / "project",
        {"board": "host", "board_definition": str(folder / "board.json")},
        Deadline(30),
    )
    options = {} if objects is None else {"object_cache": str(objects)}
    build_project(folder / "project", options, Deadline(60))
    return (folder / "project" / "build" / "firmware").read_bytes()


def test_the_runtime_is_compiled_once(tmp_path: Path, objects: Path, compiled: Path) -> None:
    first = build(tmp_path / "first", DOUBLE, objects)
    assert "runtime/src/framing.c" in compiled.read_text().split()
    compiled.unlink()
    assert build(tmp_path / "elsewhere", DOUBLE, objects) == first
    assert not compiled.exists()
    build(tmp_path / "another model", TRIPLE, objects)
    assert set(compiled.read_text().split()) == {
        "src/main.c",
        "codegen/host/src/triple_lib0.c",
        "codegen/host/src/triple_model.c",
    }
    assert build(tmp_path / "without", DOUBLE, None) == first


def test_damaged_objects_are_made_anew(tmp_path: Path, objects: Path) -> None:
    first = build(tmp_path / "first", DOUBLE, objects)
    files = [path for path in objects.rglob("*") if path.is_file() and path.stat().st_size > 200]
    assert len(files) > 20
    for number, path in enumerate(files):
        content = bytearray(path.read_bytes())
        content[len(content) * (number % 7 + 1) // 9] ^= 1 << number % 8
        path.write_bytes(content)
    assert build(tmp_path / "second", DOUBLE, objects) == first


def test_builds_without_it(tmp_path: Path, objects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    assert compiler_cache(tmp_path / "file" / "objects", tmp_path) == {}
    build(tmp_path / "no folder", DOUBLE, tmp_path / "file" / "objects")
    assert compiler_cache(objects, tmp_path)["CCACHE_DIR"] == str(objects)
    old = tmp_path / "old" / "ccache"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho ccache version 3.7.9\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(old.parent), prepend=":")
    assert compiler_cache(objects, tmp_path) == {}


def test_a_users_own_folder(tmp_path: Path, objects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCACHE_DIR", str(tmp_path / "own"))
    variables = compiler_cache(objects, tmp_path)
    assert variables["CCACHE_DIR"] == str(tmp_path / "own")
    assert "CCACHE_MAXSIZE" not in variables
