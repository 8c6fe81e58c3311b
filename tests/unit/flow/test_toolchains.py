"""What is kept of a platform's answers, and when they are asked for anew."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_microtvm.boards import Board, Cpu, PlatformTable
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.flow.toolchains import FOLDER, Toolchains
from pytest_microtvm.project.platforms import Platform
from pytest_microtvm.project.server import EMULATE, FLASH, BoardSupport, Tool

BOARD = Board("one", Cpu("arm"), (PlatformTable("acme"),))


class World:
    """A platform that answers as it is told, and counts how often it is asked."""

    def __init__(self, folder: Path) -> None:
        self.asked = 0
        self.cache = folder / "cache"
        self.compiler = folder / "bin" / "acmec"
        self.compiler.parent.mkdir()
        self.compiler.write_text("1")
        self.compiler.chmod(0o755)
        self.template = folder / "acme"
        self.template.mkdir()
        (self.template / "microtvm_api_server.py").touch()
        self.tools = [Tool("acmec", str(self.compiler)), Tool("qemu", None, "", "emulate")]
        self.toolchain: str | None = "v1"

    def ask(self, *_arguments: object, identify: bool, forks: None) -> list[BoardSupport]:
        assert identify
        self.asked += 1
        return [BoardSupport(tuple(self.tools), self.toolchain, ("emulate",), ("ACME_HOME",))]

    def run(self, board: Board = BOARD) -> BoardSupport:
        """As another run with the same cache would ask."""
        from pytest_microtvm.flow import build_id

        build_id._hash_files.cache_clear()
        platforms = {"acme": Platform("acme", self.template)}
        return Toolchains(self.cache, platforms).support(board)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    monkeypatch.setattr("pytest_microtvm.flow.toolchains.ask_platform", world.ask)
    monkeypatch.setenv("PATH", str(world.compiler.parent))
    return world


def test_an_answer_is_kept(world: World) -> None:
    first = world.run()
    assert (world.run(), world.asked) == (first, 1)


def touch_compiler(world: World, _: pytest.MonkeyPatch) -> None:
    world.compiler.write_text("22")


def remove_compiler(world: World, _: pytest.MonkeyPatch) -> None:
    world.compiler.unlink()


def install_emulator(world: World, _: pytest.MonkeyPatch) -> None:
    (world.compiler.parent / "qemu").touch()
    (world.compiler.parent / "qemu").chmod(0o755)


def change_template(world: World, _: pytest.MonkeyPatch) -> None:
    (world.template / "Makefile").write_text("all:\n")


def change_path(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{world.compiler.parent}:/nowhere")


def change_variable(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_HOME", "/opt/acme")


def shadow_compiler(world: World, _: pytest.MonkeyPatch) -> None:
    world.tools[0] = Tool("acmec", "/bin/sh")  # another is first in PATH
    (path,) = (world.cache / FOLDER).iterdir()
    path.unlink()
    world.run()
    world.asked = 1


def damage_the_file(world: World, _: pytest.MonkeyPatch) -> None:
    (path,) = (world.cache / FOLDER).iterdir()
    path.write_text(path.read_text().replace('"v1"', '"v2"'))


def cut_the_file(world: World, _: pytest.MonkeyPatch) -> None:
    (path,) = (world.cache / FOLDER).iterdir()
    path.write_bytes(path.read_bytes()[:40])


def let_others_write_the_file(world: World, _: pytest.MonkeyPatch) -> None:
    (path,) = (world.cache / FOLDER).iterdir()
    path.chmod(0o666)


CHANGES: list[Callable[[World, pytest.MonkeyPatch], None]] = [
    touch_compiler,
    remove_compiler,
    install_emulator,
    change_template,
    change_path,
    change_variable,
    shadow_compiler,
    damage_the_file,
    cut_the_file,
    let_others_write_the_file,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_has_it_asked_anew(
    world: World, monkeypatch: pytest.MonkeyPatch, change: Callable[..., None]
) -> None:
    assert world.run().toolchain == "v1"
    change(world, monkeypatch)
    assert world.run().toolchain == "v1"
    assert world.asked == 2


def test_another_definition_has_it_asked_anew(world: World) -> None:
    world.run()
    other = Board("one", Cpu("arm"), (PlatformTable.of("acme", {"a": 1}),))
    world.run(other)
    world.run(other)
    assert world.asked == 2
    assert len(list((world.cache / FOLDER).iterdir())) == 1  # in place of the other


def test_a_toolchain_without_an_id_is_never_the_same(world: World) -> None:
    world.toolchain = None
    toolchains = Toolchains(world.cache, {"acme": Platform("acme", world.template)})
    assert toolchains.toolchain_id(BOARD).startswith("unknown ")
    assert toolchains.toolchain_id(BOARD) == toolchains.toolchain_id(BOARD)
    world.run()
    assert world.asked == 2
    assert not (world.cache / FOLDER).exists()


def test_what_a_platform_cannot_do_is_told(world: World) -> None:
    toolchains = Toolchains(world.cache, {"acme": Platform("acme", world.template)})
    toolchains.require(BOARD, EMULATE)
    with pytest.raises(ConfigError) as caught:
        toolchains.require(BOARD, FLASH)
    assert caught.value.one_line() == "one: the platform acme cannot flash one"
    both = Board("one", Cpu("arm"), (PlatformTable("acme"), PlatformTable("host")))
    with pytest.raises(ConfigError, match="cannot flash one; choose another one: host"):
        toolchains.require(both, FLASH)


def test_a_cache_that_cannot_be_written_does_not_matter(world: World) -> None:
    world.cache.touch()
    assert world.run().toolchain == "v1"


def test_what_is_kept_can_be_read_by_a_person(world: World) -> None:
    world.run()
    (path,) = (world.cache / FOLDER).iterdir()
    digest, _, text = path.read_text().partition("\n")
    assert digest == hashlib.sha256(text.encode()).hexdigest()
    assert json.loads(text)["tools"][0][:2] == ["acmec", str(world.compiler)]
