"""Which platforms there are, and what they say about boards."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
from collections import defaultdict
from pathlib import Path

import pytest

from pytest_microtvm.boards import Board, Cpu, Emulator, Flash, PlatformTable, load_boards
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import BuildError, ConfigError
from pytest_microtvm.project.platforms import Platform, find_platform, load_platforms
from pytest_microtvm.project.server import BoardSupport, Tool
from pytest_microtvm.project.support import ask_platform, missing_tools, readiness_of

SERVER = "microtvm_api_server.py"


def make_platform(folder: Path, name: str = SERVER) -> Path:
    folder.mkdir(parents=True)
    (folder / name).touch()
    return folder


def test_ours_are_found() -> None:
    platforms = load_platforms()
    assert list(platforms) == ["arduino", "baremetal", "freertos", "host", "zephyr"]
    assert (platforms["host"].directory / SERVER).is_file()


def test_folders_of_one_and_of_several(tmp_path: Path) -> None:
    one = make_platform(tmp_path / "one")
    (one / "src").mkdir()
    make_platform(tmp_path / "more" / "two")
    make_platform(tmp_path / "more" / "three", "launch_microtvm_api_server.sh")
    (tmp_path / "more" / "docs").mkdir()
    mine = make_platform(tmp_path / "more" / "host")
    platforms = load_platforms([one, tmp_path / "more"])
    ours = ["arduino", "baremetal", "freertos", "host"]
    assert list(platforms) == [*ours, "one", "three", "two", "zephyr"]
    assert platforms["host"] == Platform("host", mine)


def test_what_is_no_platform_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no platform in"):
        load_platforms([tmp_path])
    with pytest.raises(ConfigError, match="does not exist"):
        load_platforms([tmp_path / "nowhere"])
    with pytest.raises(ConfigError, match="no platform toaster; choose from arduino, baremetal"):
        find_platform(load_platforms(), "toaster")


class FakeEntryPoint:
    value = "other_package:platforms"

    def __init__(self, result: object) -> None:
        self.result = result

    def load(self) -> object:
        if isinstance(self.result, Exception):
            raise self.result
        return lambda: self.result


def test_entry_points_offer_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_platform(tmp_path / "acme")
    found: list[object] = [FakeEntryPoint(tmp_path)]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found)
    assert "acme" in load_platforms()
    found[:] = [FakeEntryPoint(ImportError("gone"))]
    with pytest.raises(ConfigError, match="other_package:platforms"):
        load_platforms()


def test_our_platforms_serve_our_boards() -> None:
    """Every table of every board for a platform of ours holds what that platform takes."""
    platforms = load_platforms()
    tables = defaultdict(list)
    for board in load_boards().values():
        for name in board.platforms:
            tables[name].append(board.on(name))
    for name, platform in platforms.items():
        answers = ask_platform(platform, tables[name], Deadline(60), identify=False)
        assert len(answers) == len(tables[name]) > 0
        for board, support in zip(tables[name], answers, strict=True):
            assert support.toolchain is None
            builder = {"arduino": "rduino", "zephyr": "ninja"}.get(name, "make")
            assert any(builder in tool.name for tool in support.tools)
            assert ("flash" in support.abilities) == (board.flash is not None)


COUNTING_SERVER = """\
from pathlib import Path
from pytest_microtvm.project import server

with Path(__file__).with_name("starts").open("a") as file:
    file.write("+")

class Handler(server.ProjectAPIHandler):
    def server_info_query(self, tvm_version):
        options = [
            server.ProjectOption("qemu_plugin", optional=["open_transport"], type="str"),
        ]
        return server.ServerInfo("acme", True, None, options)

    def generate_project(self, model_library_format_path, standalone_crt_dir, project_dir, options):
        pass

    def build(self, options):
        pass

    def flash(self, options):
        pass

    def open_transport(self, options):
        pass

    def close_transport(self):
        pass

    def read_transport(self, n, timeout_sec):
        pass

    def write_transport(self, data, timeout_sec):
        pass
{more}
server.main(Handler())
"""
ANSWER = """
    def board_query(self, board, identify):
        if board["acme"].get("bad"):
            raise server.OptionError("acme.bad is set", cure="unset it")
        tool = server.Tool("acmec", None if board["acme"].get("none") else "/bin/sh", "get it")
        return server.BoardSupport((tool,), "v1" if identify else None, ("emulate",))
"""
KEYS = """
    def board_keys(self):
        return [server.BoardKey("size", "int", required=True)]
"""


def acme(folder: Path, more: str) -> Platform:
    folder.mkdir()
    (folder / SERVER).write_text(COUNTING_SERVER.replace("{more}", more))
    return Platform("acme", folder)


def board(name: str, **settings: object) -> Board:
    table = PlatformTable.of("acme", settings)
    return Board(name, Cpu("arm"), (table,), path=Path(f"/boards/{name}.toml"))


EMULATED = dataclasses.replace(board("emulated"), emulator=Emulator("qemu", "virt"))
REAL = dataclasses.replace(board("real"), flash=Flash("gdb"))


def test_one_server_answers_for_all_boards(tmp_path: Path) -> None:
    platform = acme(tmp_path / "acme", ANSWER)
    boards = [board("one"), board("two", none=1), board("three")]
    elsewhere = dataclasses.replace(board("four"), tables=(PlatformTable("none"),), platform="none")
    found = readiness_of([*boards, elsewhere], {"acme": platform}, (), Deadline(20))
    assert [name for name, state in found.items() if state.runs] == ["one", "three"]
    assert found["two"].to_build
    assert found["four"].to_build == ("the platform none",)
    assert (platform.directory / "starts").read_text() == "+"


def test_what_a_board_cannot_do_without() -> None:
    support = BoardSupport((Tool("cc", "/cc"), Tool("ld", None), Tool("qemu", None, "", "emulate")))
    assert missing_tools(EMULATED, support, in_lab=False) == ["ld", "qemu"]
    assert missing_tools(EMULATED, support, in_lab=True) == ["ld"]
    assert missing_tools(REAL, BoardSupport(), in_lab=False) == ["the board itself"]
    assert missing_tools(REAL, BoardSupport(), in_lab=True) == []


def test_a_server_that_does_not_know_the_question(tmp_path: Path) -> None:
    """As every server that was written for TVM: the board is taken at its word."""
    platform = acme(tmp_path / "acme", "")
    boards = [board("one", any_key=1), EMULATED, REAL]
    answers = ask_platform(platform, boards, Deadline(20), identify=True)
    assert [answer.toolchain for answer in answers] == [None] * 3
    assert [answer.abilities for answer in answers] == [
        (),
        ("emulate", "count_instructions"),
        ("flash",),
    ]


def test_an_option_tells_that_a_board_can_be_debugged(tmp_path: Path) -> None:
    platform = acme(tmp_path / "acme", "")
    server = platform.directory / SERVER
    server.write_text(server.read_text().replace("qemu_plugin", "gdbserver_port"))
    answers = ask_platform(platform, [EMULATED, REAL], Deadline(20), identify=False)
    assert [answer.abilities for answer in answers] == [("emulate", "debug"), ("flash",)]


def test_a_refusal_names_the_definition_and_the_key(tmp_path: Path) -> None:
    platform = acme(tmp_path / "acme", ANSWER + KEYS)
    cases: list[tuple[dict[str, object], str]] = [
        ({}, "/boards/one.toml: key acme.size is missing"),
        ({"size": 1, "weight": 2}, "/boards/one.toml: unknown key acme.weight"),
    ]
    for settings, message in cases:
        with pytest.raises(ConfigError) as caught:
            ask_platform(platform, [board("one", **settings)], Deadline(20), identify=False)
        assert caught.value.message == message
        assert caught.value.board == "one"
    platform = acme(tmp_path / "other", ANSWER)
    with pytest.raises(ConfigError) as caught:
        ask_platform(platform, [board("one", bad=1)], Deadline(20), identify=False)
    assert caught.value.message == "/boards/one.toml: acme.bad is set"
    assert caught.value.cure == "unset it"


def test_a_compiler_that_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "gcc"
    compiler.write_text("#!/bin/sh\necho out of order\nexit 3\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    host = load_boards()["host"]
    with pytest.raises(BuildError) as caught:
        ask_platform(load_platforms()["host"], [host], Deadline(20), identify=True)
    assert caught.value.message == "the compiler gcc does not run"
    assert caught.value.cure == "try 'gcc --version'"
    assert caught.value.details == "out of order\n"
    answers = ask_platform(load_platforms()["host"], [host], Deadline(20), identify=False)
    assert answers[0].tools[0].path == str(compiler)  # looking does not run it


def test_a_folder_is_called_as_its_platform(tmp_path: Path) -> None:
    platform = acme(tmp_path / "acme", "")
    with pytest.raises(ConfigError, match="calls itself acme; rename its folder to acme"):
        ask_platform(Platform("toaster", platform.directory), [], Deadline(20), identify=False)
