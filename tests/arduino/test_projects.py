"""What a project for Arduino is made of, and what its options do; nothing is built for that."""

from __future__ import annotations

import json
import tarfile

import pytest
from arduino_build import compiler_flags, split_properties, with_flags

from pytest_microtvm.boards import load_boards
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import BuildError, ConfigError
from pytest_microtvm.project import platform_directory, server
from pytest_microtvm.project.client import ProjectAPIClient
from pytest_microtvm.project.platforms import Platform
from pytest_microtvm.project.server import EMULATE
from pytest_microtvm.project.support import ask_platform
from tests.arduino.boards import generate, mega

TABLE = {"packet_bytes": 256, "flags": []}


def test_a_project_is_a_sketchbook(tmp_path):
    project = generate(tmp_path)
    sketch, library = project / "microtvm_sketch", project / "libraries" / "microtvm_double_it"
    for name in ("microtvm_sketch.ino", "main.c", "microtvm_project.h", "microtvm_board.h"):
        assert (sketch / name).is_file(), name
    assert not (project / "src").exists()
    assert not (project / "codegen").exists()
    properties = dict(
        line.split("=", 1) for line in (library / "library.properties").read_text().splitlines()
    )
    assert properties["name"] == "microtvm_double_it"
    assert properties["includes"] == "tvmgen_double_it.h"
    assert properties["dot_a_linkage"] == "true"
    assert (library / "src" / "microtvm" / "platform.h").is_file()
    assert (library / "src" / "runtime" / "rpc_server.c").is_file()
    assert (library / "src" / "double_it_model.c").is_file()
    assert "<tvmgen_double_it.h>" in (sketch / "microtvm_model.h").read_text()
    readme = (project / "README").read_text()
    assert "sketchbook" in readme
    assert "libraries/" in readme


def test_options_reach_the_build(tmp_path):
    archive = tmp_path / "extra.tar"
    (tmp_path / "more.c").write_text("int more;\n")
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "more.c", "microtvm_sketch/more.c")
    project = generate(
        tmp_path,
        mega(tmp_path, 'properties = ["build.board=MINE", "x.y=1"]\n'),
        fqbn="arduino:avr:megaADK",
        properties=["x.y=2"],
        libraries=[str(tmp_path)],
        extra_files_tar=str(archive),
        compile_definitions=["-DX=1"],
        warning_as_error=True,
    )
    settings = json.loads((project / "arduino.json").read_text())
    assert settings["fqbn"] == "arduino:avr:megaADK"
    assert settings["properties"] == {"build.board": "MINE", "x.y": "2"}
    assert settings["libraries"] == [str(tmp_path)]
    assert settings["warnings_are_errors"] is True
    assert settings["flags"][-2:] == ["-DDECIMAL_DIG=__DECIMAL_DIG__", "-DX=1"]
    assert "-DSERIAL_RX_BUFFER_SIZE=512" in settings["flags"]
    assert (project / "microtvm_sketch" / "more.c").is_file()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"fqbn": "mega"}, "fqbn: 'mega' is no name of a board"),
        ({"properties": ["wrong"]}, "properties: 'wrong' is not a setting"),
        ({"libraries": ["/no/such"]}, "there is no folder /no/such"),
        ({"hardware": "/no/such"}, "there is no folder /no/such"),
        ({"project_type": "mlperftiny"}, "mlperftiny"),
        ({"extra_files_tar": "/no/such.tar"}, "extra_files_tar: /no/such.tar cannot be unpacked"),
    ],
)
def test_options_that_are_refused_leave_nothing(tmp_path, options, expected):
    with pytest.raises((BuildError, ConfigError), match=expected):
        generate(tmp_path, **options)
    assert not (tmp_path / "project").exists()


def test_a_model_that_cannot_fit_is_refused_before_the_build(tmp_path):
    small = mega(tmp_path, ram_bytes=2048)
    with pytest.raises(BuildError, match=r"needs \d+ bytes of RAM, mega has 2048") as caught:
        generate(tmp_path, small)
    assert caught.value.cure


def test_a_board_that_is_too_small_for_any_model_is_not_one_that_runs_here():
    boards = [load_boards()[name] for name in ("mega2560", "uno")]
    platform = Platform("arduino", platform_directory("arduino"))
    large, small = ask_platform(platform, boards, Deadline(30), identify=False)
    assert not any("bytes of RAM" in tool.name for tool in large.tools)
    (lacking,) = (tool for tool in small.tools if "bytes of RAM, of which uno" in tool.name)
    assert (lacking.path, lacking.purpose) == (None, EMULATE)


def test_microtvms_options_are_there():
    with ProjectAPIClient(platform_directory("arduino"), Deadline(30)) as client:
        options = {option.name: option for option in client.info.options}
    assert {
        *("board", "project_type", "arduino_cli_cmd", "port", "serial_number", "verbose"),
        *("warning_as_error", "extra_files_tar", "fqbn", "properties", "libraries", "hardware"),
        *("compile_definitions", "gdbserver_port"),
    } <= set(options)
    assert {"host_driven", "example_project"} <= set(options["project_type"].choices or ())
    assert "mlperftiny" not in (options["project_type"].choices or ())
    assert all(option.help for option in options.values())


def test_flags_are_added_to_what_the_core_has():
    properties = with_flags(
        {"compiler.c.extra_flags": "-DMINE"},
        {"compiler.c.extra_flags": "-DCORE", "build.defs": "-DTEENSY"},
        ["compiler.c.extra_flags", "build.defs", "absent"],
        ["-DA=1", "-DB=2 3"],
    )
    assert properties == {
        "compiler.c.extra_flags": "-DMINE -DA=1 '-DB=2 3'",
        "build.defs": "-DTEENSY -DA=1 '-DB=2 3'",
        "absent": "-DA=1 '-DB=2 3'",
    }
    with pytest.raises(server.OptionError, match="both kinds of quotes"):
        with_flags({}, {}, ["x"], ["-DA='\""])


def test_floats_round_by_themselves():
    assert "-ffp-contract=off" in compiler_flags(TABLE, [], serves_host=True)


def test_only_who_serves_a_host_has_a_buffer_for_its_packets():
    buffer = "-DSERIAL_RX_BUFFER_SIZE=256"
    assert buffer in compiler_flags(TABLE, [], serves_host=True)
    assert buffer not in compiler_flags(TABLE, [], serves_host=False)


def test_settings_are_names_and_values():
    assert split_properties(["a.b=c=d", "e="]) == {"a.b": "c=d", "e": ""}
