"""What every platform must do, checked on boards of each: generate, build, and exchange bytes."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_microtvm.boards import Board, Cpu, load_board, load_boards
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import BuildError, ConfigError, TransportClosed, TransportTimeout
from pytest_microtvm.project import (
    build_project,
    flash_project,
    generate_project,
    platform_directory,
)
from pytest_microtvm.project.client import ProjectAPIClient
from pytest_microtvm.session.wire.framing import Frame, FrameDecoder
from pytest_microtvm.session.wire.session import Established, HostSession
from tests.boards import toolchain_of, with_settings
from tests.contract.libraries import DOUBLE, FloatModel
from tests.contract.running import children_of, need_tools
from tests.patience import PATIENCE_S, await_end

BOARDS = ["host", "qemu_x86", "microbit", "qemu_riscv64"]  # one of every kind
BUILD_ID = "0123456789abcdef"


@dataclasses.dataclass(frozen=True)
class Project:
    """A generated project and where it came from."""

    directory: Path
    board: Board
    library: Path

    def generate(self) -> None:
        definition = self.directory.with_suffix(".json")
        definition.write_text(self.board.to_json())
        options = {
            "board": self.board.name,
            "board_definition": str(definition),
            "compile_definitions": [f"-DMICROTVM_BUILD_ID={BUILD_ID}"],
            "warning_as_error": True,
        }
        template = platform_directory(self.board.platform)
        generate_project(template, self.library, self.directory, options, Deadline(30))

    def build(self) -> None:
        build_project(self.directory, {}, Deadline(60))

    def firmware(self) -> Path:
        (path,) = (p for p in (self.directory / "build").glob("firmware*") if p.suffix != ".map")
        return path


def new_project(directory: Path, board: Board, model: FloatModel = DOUBLE) -> Project:
    directory.mkdir(parents=True, exist_ok=True)
    return Project(directory / "project", board, model.write(directory / "model.tar"))


@pytest.fixture(params=BOARDS, scope="module")
def board(request: pytest.FixtureRequest) -> Board:
    board = load_boards()[request.param]
    need_tools(board)
    return board


@pytest.fixture(scope="module")
def built(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = new_project(tmp_path_factory.mktemp(board.name), board)
    project.generate()
    project.build()
    return project


@pytest.fixture
def client(built: Project) -> Iterator[ProjectAPIClient]:
    with ProjectAPIClient(built.directory, Deadline(10)) as client:
        yield client


def greet(client: ProjectAPIClient, nonce: int) -> None:
    """Start a session: bytes go there and come back, and they are the runtime's."""
    session = HostSession()
    decoder = FrameDecoder()
    deadline = Deadline(10)
    client.read_transport(100, deadline)  # the device says that it has started
    client.write_transport(session.start(nonce), deadline)
    while True:
        for event in decoder.feed(client.read_transport(100, deadline)):
            if isinstance(event, Frame) and isinstance(session.accept(event.payload), Established):
                assert session.session_id & 0xFF == nonce
                return


ODD_FOLDER = """a b'c"$(touch ran) `touch ran`;touch ran&${HOME}#%,\\é日"""


def test_the_name_of_the_folder_means_nothing(built: Project, tmp_path: Path) -> None:
    project = new_project(tmp_path / ODD_FOLDER, built.board)
    project.generate()
    project.build()
    # The very same, but for the linker's map of names: nothing of the folder got in.
    assert project.firmware().read_bytes() == built.firmware().read_bytes()
    assert not list(tmp_path.rglob("ran"))
    with ProjectAPIClient(project.directory, Deadline(10)) as client:
        client.open_transport({}, Deadline(10))
        greet(client, 17)


def test_templates_and_projects_say_what_they_are(built: Project) -> None:
    template = platform_directory(built.board.platform)
    with ProjectAPIClient(template, Deadline(10)) as client:
        assert client.info.is_template
        assert client.info.platform_name == built.board.platform
        assert "board" in {option.name for option in client.info.options}
        with pytest.raises(BuildError):
            client.build({}, Deadline(10))
    with ProjectAPIClient(built.directory, Deadline(10)) as client:
        assert not client.info.is_template
        assert client.info.model_library_path == built.directory / "model.tar"


def test_bytes_go_both_ways(client: ProjectAPIClient) -> None:
    client.open_transport({}, Deadline(10))
    greet(client, 17)


def test_a_read_ends_at_its_deadline(client: ProjectAPIClient) -> None:
    client.open_transport({}, Deadline(10))
    greet(client, 18)
    start = time.monotonic()
    with pytest.raises(TransportTimeout):
        client.read_transport(1, Deadline(0.3))
    assert 0.25 < time.monotonic() - start < PATIENCE_S
    with pytest.raises(TransportTimeout):
        client.read_transport(1, Deadline(0.0))


def test_a_closed_transport_refuses(client: ProjectAPIClient) -> None:
    with pytest.raises(TransportClosed, match="not open"):
        client.read_transport(1, Deadline(1))
    client.open_transport({}, Deadline(10))
    client.open_transport({}, Deadline(10))  # does nothing
    client.close_transport(Deadline(10))
    client.close_transport(Deadline(10))
    with pytest.raises(TransportClosed, match="not open"):
        client.write_transport(b"x", Deadline(1))


def test_opening_again_resets_the_device(client: ProjectAPIClient) -> None:
    for nonce in (1, 2, 255):
        client.open_transport({}, Deadline(10))
        greet(client, nonce)
        client.close_transport(Deadline(10))


def test_a_device_that_dies_is_reported(client: ProjectAPIClient) -> None:
    client.open_transport({}, Deadline(10))
    greet(client, 19)
    (device,) = children_of(client._process.pid)
    os.kill(device, signal.SIGKILL)
    with pytest.raises(TransportClosed, match="was ended by SIGKILL"):
        client.read_transport(1, Deadline(5))


@pytest.mark.parametrize("way", ["close", "kill"])
def test_the_device_goes_with_the_server(built: Project, way: str) -> None:
    with ProjectAPIClient(built.directory, Deadline(10)) as client:
        client.open_transport({}, Deadline(10))
        (device,) = children_of(client._process.pid)
        if way == "kill":
            os.kill(client._process.pid, signal.SIGKILL)
            await_end(device)
    await_end(device)


def test_flash(built: Project, tmp_path: Path) -> None:
    flash_project(built.directory, {}, Deadline(10))
    unbuilt = new_project(tmp_path, built.board)
    unbuilt.generate()
    with ProjectAPIClient(unbuilt.directory, Deadline(10)) as client:
        with pytest.raises(Exception, match="build the project first"):
            client.flash({}, Deadline(10))
        with pytest.raises(Exception, match="build the project first"):
            client.open_transport({}, Deadline(10))


def test_a_project_stands_on_its_own_and_builds_the_same_by_hand(
    built: Project, tmp_path: Path
) -> None:
    assert BUILD_ID.encode() in built.firmware().read_bytes()
    copy = tmp_path / "another name"
    shutil.copytree(built.directory, copy, ignore=shutil.ignore_patterns("build"))
    subprocess.run(["make", "-j2"], cwd=copy, check=True, capture_output=True)
    firmware = copy / "build" / built.firmware().name
    assert firmware.read_bytes() == built.firmware().read_bytes()


def test_generating_twice_is_refused(built: Project) -> None:
    with pytest.raises(ConfigError, match="exists already"):
        built.generate()


def test_unknown_options_are_refused(built: Project, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no option colour"):
        generate_project(
            platform_directory(built.board.platform),
            built.library,
            tmp_path / "project",
            {"board": built.board.name, "board_definition": "x", "colour": "red"},
            Deadline(10),
        )
    assert list(tmp_path.iterdir()) == []


def test_a_missing_compiler_is_named_with_its_cure(board: Board, tmp_path: Path) -> None:
    toolchain = {**toolchain_of(board), "prefix": "no-such-", "install": "apt-get x"}
    if board.platform == "host":
        toolchain = {key: toolchain[key] for key in ("prefix", "flags", "install")}
    project = new_project(tmp_path, with_settings(board, toolchain=toolchain))
    project.generate()
    with pytest.raises(BuildError) as caught:
        project.build()
    assert caught.value.message == "no-such-gcc is not installed"
    assert caught.value.cure == "install it: apt-get x"
    assert "\n" not in str(caught.value)


def test_a_compilers_message_is_kept(board: Board, tmp_path: Path) -> None:
    project = new_project(tmp_path, board, dataclasses.replace(DOUBLE, kernel="int wrong = ;\n"))
    project.generate()
    with pytest.raises(BuildError) as caught:
        project.build()
    assert "codegen/host/src/double_it_lib0.c:1:13: error:" in caught.value.one_line()
    assert "int wrong = ;" in caught.value.details


def test_an_unknown_platform_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="choose from arduino, baremetal"):
        platform_directory("toaster")


# What only boards with limits can show.


@pytest.fixture
def qemu_x86() -> Board:
    board = load_boards()["qemu_x86"]
    need_tools(board)
    return board


def test_a_model_too_large_is_refused_before_the_build(tmp_path: Path) -> None:
    board = load_boards()["qemu_x86"]  # needs no tools
    large = dataclasses.replace(DOUBLE, workspace_bytes=40 << 20)
    project = new_project(tmp_path, board, large)
    with pytest.raises(BuildError) as caught:
        project.generate()
    needed = (40 << 20) + 32 + sum(board.settings[key] for key in ("packet_bytes", "stack_bytes"))
    assert caught.value.message == (
        f"model too large: needs {needed} bytes of RAM, qemu_x86 has 33554432"
    )
    assert not project.directory.exists()
    constants = dataclasses.replace(DOUBLE, constants_bytes=17 << 20)
    with pytest.raises(BuildError, match=f"needs {17 << 20} bytes of flash"):
        new_project(tmp_path, board, constants).generate()


def test_the_linker_keeps_to_the_memory(qemu_x86: Board, tmp_path: Path) -> None:
    flash, ram = qemu_x86.memory
    small = dataclasses.replace(flash, bytes=4096)
    project = new_project(tmp_path, dataclasses.replace(qemu_x86, memory=(small, ram)))
    project.generate()
    with pytest.raises(BuildError, match=r"needs \d+ bytes of flash, qemu_x86 has 4096") as caught:
        project.build()
    assert "overflowed" in caught.value.details


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"memory": ()}, "has no memory"),
        ({"emulator": None}, "has no emulator"),
        ({"cpu": Cpu("z80")}, "no code for the CPU z80"),
    ],
)
def test_hardware_that_baremetal_cannot_serve(
    tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    board = load_boards()["qemu_x86"]
    check_refusal(tmp_path, dataclasses.replace(board, **change), expected)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"uart": None}, "key baremetal.uart is missing"),
        ({"uart": {"base": 1}}, "key baremetal.uart.driver is missing"),
        ({"uart": {"driver": "drum", "base": 0}}, "no UART driver drum"),
        (
            {"uart": {"driver": "16550", "base": 0, "reset": "cts"}},
            "baremetal.uart.reset must be one of dtr, rts",
        ),
        ({"startup": "uart"}, "no code for the CPU uart"),
        ({"startup": "riscv"}, "timer: it needs one"),
        ({"timer": {"driver": "d", "base": 1}}, "key baremetal.timer.hz is missing"),
        ({"setup": [{"address": 4}]}, "key baremetal.setup[0].set is missing"),
        ({"setup": [{"address": 4, "set": 1, "mask": 1}]}, "unknown key baremetal.setup[0].mask"),
        ({"setup": [4]}, "baremetal.setup[0] must be a table, not 4"),
        ({"stack_bytes": "1k"}, "baremetal.stack_bytes must be a whole number, not '1k'"),
        ({"stack_bytes": True}, "baremetal.stack_bytes must be a whole number"),
        ({"stack_bytes": -1}, "baremetal.stack_bytes must not be negative"),
        ({"packet_bytes": 8}, "baremetal.packet_bytes must be at least 256"),
        ({"toolchain": {"flags": "-O2"}}, "baremetal.toolchain.flags must be a list"),
        ({"toolchain": {"flags": [1]}}, "baremetal.toolchain.flags[0] must be a string"),
        ({"toolchain": {"cc": "tcc"}}, "unknown key baremetal.toolchain.cc"),
        ({"colour": "red"}, "unknown key baremetal.colour"),
    ],
)
def test_tables_that_baremetal_refuses(
    tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    check_refusal(tmp_path, with_settings(load_boards()["qemu_x86"], **change), expected)


def test_keys_that_another_platform_has_are_refused(tmp_path: Path) -> None:
    host = load_boards()["host"]
    check_refusal(tmp_path, with_settings(host, stack_bytes=1), "unknown key host.stack_bytes")


def test_timers_that_baremetal_cannot_serve(tmp_path: Path) -> None:
    boards = load_boards()
    x86, arm = boards["qemu_x86"], boards["mps2_an386"]
    check_refusal(
        tmp_path,
        with_settings(x86, timer=arm.settings["timer"]),
        "timer: the CPU i386 has its own",
    )
    sundial = {"driver": "sundial", "base": 0, "hz": 1}
    check_refusal(tmp_path, with_settings(arm, timer=sundial), "no timer driver sundial")


def check_refusal(directory: Path, board: Board, expected: str) -> None:
    """No project is made for the board, and the error says why."""
    with pytest.raises(ConfigError) as caught:
        new_project(directory, board).generate()
    assert expected in str(caught.value)


def test_a_missing_emulator_is_named_with_its_cure(
    qemu_x86: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = new_project(tmp_path, qemu_x86)
    project.generate()
    (project.directory / "build").mkdir()
    (project.directory / "build" / "firmware.elf").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        ProjectAPIClient(project.directory, Deadline(10)) as client,
        pytest.raises(Exception, match=r"qemu-system-i386 is not installed .*install it: apt-get"),
    ):
        client.open_transport({}, Deadline(10))


def test_what_the_emulator_complains_of_is_told(qemu_x86: Board, tmp_path: Path) -> None:
    assert qemu_x86.emulator is not None
    emulator = dataclasses.replace(qemu_x86.emulator, machine="toaster")
    project = new_project(tmp_path, dataclasses.replace(qemu_x86, emulator=emulator))
    project.generate()
    (project.directory / "build").mkdir()
    (project.directory / "build" / "firmware.elf").touch()
    with ProjectAPIClient(project.directory, Deadline(10)) as client:
        client.open_transport({}, Deadline(10))
        with pytest.raises(TransportClosed, match="ended with exit status 1") as caught:
            client.read_transport(1, Deadline(10))
    assert "unsupported machine" in caught.value.details


TOML_ONLY = """
name = "small_pc"
platform = "baremetal"
cpu = { arch = "i386", core = "pentium3" }
uart = { driver = "16550", base = 0x2f8, interrupt = 3 }

[[memory]]
name = "all"
kind = "ram"
origin = 0x80_0000
bytes = 0x40_0000

[toolchain]
prefix = "i686-linux-gnu-"
flags = ["-m32", "-march=pentium4", "-mfpmath=sse", "-fcf-protection=none"]
includes = ["/usr/include/i386-linux-musl"]
libraries = ["/usr/lib/i386-linux-musl/libc.a"]

[emulator]
program = "qemu-system-i386"
machine = "q35"
arguments = ["-m", "16", "-serial", "null"]
"""


@pytest.mark.parametrize("interrupt", ["", ", interrupt = 3"], ids=["polled", "interrupt"])
def test_a_board_is_a_toml_and_nothing_else(
    qemu_x86: Board, tmp_path: Path, interrupt: str
) -> None:
    path = tmp_path / "small_pc.toml"
    path.write_text(TOML_ONLY.replace(", interrupt = 3", interrupt))
    project = new_project(tmp_path, load_board(path))
    project.generate()
    project.build()
    with ProjectAPIClient(project.directory, Deadline(10)) as client:
        client.open_transport({}, Deadline(10))
        greet(client, 20)
