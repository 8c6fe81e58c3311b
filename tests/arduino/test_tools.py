"""The programs that build: which one is taken, what it is asked, and what it says of boards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from arduino_tools import (
    ArduinoBuilder,
    ArduinoCli,
    Core,
    Job,
    choose_builder,
    find_builders,
    read_properties,
    split_json,
)

from pytest_microtvm.project import server
from tests.arduino.boards import MEGA
from tests.arduino.standin_cli import calls_of, make_cli

AVR = Core("arduino:avr")


def make_program(path: Path, script: str = "exit 0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def path(tmp_path, monkeypatch):
    """An empty folder that programs are found in."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin")
    monkeypatch.setattr("arduino_tools.BUILDER", "acme-builder")
    monkeypatch.setattr("arduino_tools._HARDWARE", tmp_path / "hardware")
    return folder


def install_core(folder: Path, name: str) -> None:
    boards = folder.joinpath("hardware", *name.split(":")) / "boards.txt"
    boards.parent.mkdir(parents=True)
    boards.touch()


def test_without_any_one_error_names_both(path, tmp_path):
    with pytest.raises(server.ProjectError) as caught:
        find_builders(None, tmp_path)
    assert str(caught.value) == "neither arduino-cli nor acme-builder is installed"
    assert "apt-get install arduino-builder arduino-core-avr" in caught.value.data["cure"]
    assert "arduino-cli" in caught.value.data["cure"]


def test_arduino_cli_comes_first(path, tmp_path):
    make_program(path / "acme-builder")
    assert [type(each) for each in find_builders(None, tmp_path)] == [ArduinoBuilder]
    make_cli(path)
    first, second = find_builders("arduino-cli", tmp_path)
    assert isinstance(first, ArduinoCli)
    assert isinstance(second, ArduinoBuilder)
    with pytest.raises(server.ProjectError, match="arduino_cli_cmd: /no/cli is not there"):
        find_builders("/no/cli", tmp_path)


@pytest.mark.parametrize("old", [False, True])
def test_the_first_that_has_the_core_is_taken(path, tmp_path, old):
    make_program(path / "acme-builder")
    make_cli(path, cores=["acme:riscv"], old=old)
    builders = find_builders(None, tmp_path)
    with pytest.raises(server.ProjectError) as caught:
        choose_builder(builders, AVR)
    assert str(caught.value) == "Arduino's core arduino:avr is not installed"
    assert "arduino-cli core install arduino:avr; or name" in caught.value.data["cure"]
    install_core(tmp_path, "arduino:avr")
    assert isinstance(choose_builder(builders, AVR), ArduinoBuilder)
    assert isinstance(choose_builder(builders, Core("acme:riscv")), ArduinoCli)


def test_a_core_in_a_folder_of_the_users(path, tmp_path):
    make_program(path / "acme-builder")
    builders = find_builders(None, tmp_path)
    core = Core.of("acme:riscv:one", str(tmp_path / "hardware"))
    with pytest.raises(server.ProjectError) as caught:
        choose_builder(builders, core)
    assert "is not installed in" in str(caught.value)
    assert "hardware" in caught.value.data["cure"]
    install_core(tmp_path, "acme:riscv")
    assert choose_builder(builders, core) is builders[0]


def job_of(tmp_path: Path, fqbn: str = MEGA) -> Job:
    sketch = tmp_path / "empty"
    sketch.mkdir()
    (sketch / "empty.ino").write_text("void setup() {}\nvoid loop() {}\n")
    return Job(sketch, [tmp_path / "a"], fqbn, AVR, {"x.y": "z w"}, tmp_path / "build")


def test_what_arduino_cli_is_asked(tmp_path):
    answer = '{"success": true, "compiler_out": "fine\\n", "compiler_err": ""}'
    program = make_cli(tmp_path / "bin", fails={"compile": [0, answer, ""]})
    cli = ArduinoCli(str(program), tmp_path)
    assert cli.version() == "arduino-cli 1.2.0"
    job = job_of(tmp_path)
    status, output = cli.compile(job)
    assert (status, output.strip()) == (0, "fine")
    words = calls_of(program)[-1]
    assert words[:3] == ["compile", "--format", "json"]
    for pair in (
        ("--fqbn", MEGA),
        ("--libraries", str(tmp_path / "a")),
        ("--build-property", "x.y=z w"),
        ("--build-path", str(tmp_path / "build")),
        ("--output-dir", str(tmp_path / "build")),
        ("--warnings", "all"),
    ):
        assert words[words.index(pair[0]) + 1] == pair[1]
    assert words[-2] == str(job.sketch)
    assert words[-1] == f"CACHE={tmp_path}/build/core_cache"
    assert "--build-cache-path" not in words


def test_versions_before_the_first_take_the_cache_as_an_option(tmp_path):
    answer = '{"success": true}'
    program = make_cli(
        tmp_path / "bin", fails={"compile": [0, answer, ""]}, version="0.35.3", cores=[]
    )
    ArduinoCli(str(program), tmp_path).compile(job_of(tmp_path))
    words = calls_of(program)[-1]
    assert words[words.index("--build-cache-path") + 1] == f"{tmp_path}/build/core_cache"


def test_a_failure_is_one_even_where_the_status_hides_it(tmp_path):
    answer = '{"success": false, "compiler_err": "a.c:1:2: error: no", "error": "exit status 1"}'
    program = make_cli(tmp_path / "bin", fails={"compile": [0, answer, "\nError during build\n"]})
    status, output = ArduinoCli(str(program), tmp_path).compile(job_of(tmp_path))
    assert status == 1
    assert "a.c:1:2: error: no" in output


def test_a_board_that_the_core_lacks_is_told_in_one_line(tmp_path):
    message = "Error resolving FQBN: board arduino:avr:mega3 not found"
    program = make_cli(tmp_path / "bin", fails={"compile": [1, "", f"{message}\n"]})
    cli = ArduinoCli(str(program), tmp_path)
    with pytest.raises(server.ProjectError) as caught:
        cli.properties(job_of(tmp_path, "arduino:avr:mega3"))
    assert str(caught.value) == f"Arduino does not know the board arduino:avr:mega3: {message}"
    assert "correct fqbn" in caught.value.data["cure"]


PORT = {"address": "/dev/ttyACM0", "properties": {"serialNumber": "123"}}


@pytest.mark.parametrize("old", [False, True])
def test_the_port_of_the_one_board_that_is_connected(tmp_path, old):
    boards = [{"name": "Mega", "fqbn": "arduino:avr:mega"}]
    ports = [{"matching_boards": boards, "port": PORT}, {"port": {"address": "/dev/ttyS0"}}]
    cli = ArduinoCli(str(make_cli(tmp_path, ports=ports, old=old)), tmp_path)
    assert cli.port_of(MEGA, "") == "/dev/ttyACM0"
    assert cli.port_of(MEGA, "123") == "/dev/ttyACM0"
    assert cli.port_of(MEGA, "124") is None
    assert cli.port_of("arduino:avr:uno", "") is None
    several = ArduinoCli(str(make_cli(tmp_path, ports=[ports[0], ports[0]], old=old)), tmp_path)
    assert several.port_of(MEGA, "") is None


def test_options_that_a_board_lacks_are_told(path, tmp_path):
    program = make_program(path / "acme-builder", "echo menu.cpu.atmega2560=x; echo a=1")
    builder = ArduinoBuilder(str(program), tmp_path)
    assert builder.properties(job_of(tmp_path))["a"] == "1"
    for wrong, cure in (("cpu=other", "its values of cpu are atmega2560"), ("x=y", "leave the")):
        job = Job(tmp_path / "empty", (), f"arduino:avr:mega:{wrong}", AVR, {}, tmp_path / "build")
        with pytest.raises(server.ProjectError) as caught:
            builder.properties(job)
        assert str(caught.value).endswith(f"arduino:avr:mega has no option {wrong}")
        assert cure in caught.value.data["cure"]


def test_a_board_that_stands_for_several_chips_is_told(path, tmp_path):
    lines = r"recipe.c.o.pattern=gcc -mmcu={build.mcu}\nmenu.cpu.one.build.mcu=1"
    program = make_program(path / "acme-builder", f"printf '{lines}\\n'")
    with pytest.raises(server.ProjectError) as caught:
        ArduinoBuilder(str(program), tmp_path).properties(job_of(tmp_path, "arduino:avr:mega"))
    assert str(caught.value) == "Arduino's board arduino:avr:mega stands for several chips"
    assert caught.value.data["cure"] == "add which one to fqbn, by its option cpu"


def test_settings_name_others():
    text = "a=1\nb={a}{c}\nc={a}-{unknown}\nnot a setting\n"
    assert read_properties(text) == {"a": "1", "b": "11-{unknown}", "c": "1-{unknown}"}


def test_json_stands_among_other_text():
    assert split_json('warning\n{"a": [1]}\nmore\n') == ({"a": [1]}, "warning\n\nmore\n")
    assert split_json("{no json\n") == (None, "{no json\n")
