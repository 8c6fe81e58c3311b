"""What further builds of a kind use: only what is as the last build left it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_microtvm.project.server.shared_builds import shared_folder


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    with shared_folder(tmp_path, "kind") as folder:
        (folder / "build").mkdir()
        (folder / "build" / "core.o").write_bytes(b"core")
        (folder / "build" / "link").symlink_to("core.o")
    return tmp_path


def left(shared: Path) -> bool:
    """Whether the next build finds what the last one left."""
    with shared_folder(shared, "kind") as folder:
        return (folder / "build").exists()


def flip(path: Path) -> None:
    path.write_bytes(bytes([path.read_bytes()[0] ^ 0x80]) + path.read_bytes()[1:])


def test_it_is_kept(shared: Path):
    assert left(shared)
    assert left(shared)
    with shared_folder(shared, "other") as folder:
        assert not (folder / "build").exists()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("build/core.o", flip),
        ("build/core.o", Path.unlink),
        ("build/link", Path.unlink),
        ("build/new.o", Path.touch),
        ("digest", flip),
        ("digest", Path.unlink),
    ],
)
def test_what_is_damaged_goes(shared: Path, name: str, damage: Callable[[Path], None]):
    damage(shared / "kind" / name)
    assert not left(shared)


def test_a_build_that_fails_leaves_what_it_compiled(shared: Path):
    with pytest.raises(ValueError, match="it does not fit"), shared_folder(shared, "kind"):
        raise ValueError("it does not fit")
    assert left(shared)


def test_what_a_killed_build_left_goes(shared: Path):
    with pytest.raises(KeyboardInterrupt), shared_folder(shared, "kind"):
        raise KeyboardInterrupt
    assert not left(shared)
