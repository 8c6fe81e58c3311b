"""`create-project`, `build`, `flash` and `run`: what is said, and that a project lives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm import ConfigError, open_project
from pytest_microtvm.boards import load_boards
from pytest_microtvm.project.platforms import load_platforms
from tests.command.conftest import Microtvm
from tests.contract.running import need_tools

ROOT = Path(__file__).resolve().parents[2]
SINE = ROOT / "conftest_examples" / "models" / "sine_int8.tflite"
PLATFORMS = f"{{{','.join([*load_platforms(), 'template'])}}}"


def test_without_arguments(microtvm: Microtvm) -> None:
    ended = microtvm(status=2)
    assert ended.err.startswith("usage: microtvm [-h]")
    assert "error: the following arguments are required: " in ended.err
    listed = microtvm("-h", status=0).out
    assert all(f"    {name} " in listed for name in ("create-project", "build", "flash", "run"))


@pytest.mark.parametrize(
    ("command", "usage", "missing"),
    [
        (
            "create-project",
            f"[-h] [-f] PROJECT_DIR MODEL {PLATFORMS} ...",
            "PROJECT_DIR, MODEL, platform",
        ),
        ("build", f"[-h] [-f] PROJECT_DIR [{PLATFORMS}] ...", "PROJECT_DIR"),
        ("flash", f"[-h] PROJECT_DIR [{PLATFORMS}] ...", "PROJECT_DIR"),
    ],
)
def test_what_is_missing(microtvm: Microtvm, command: str, usage: str, missing: str) -> None:
    assert microtvm(command, status=2).err.splitlines() == [
        f"usage: microtvm {command} {usage}",
        f"microtvm {command}: error: the following arguments are required: {missing}",
    ]


def test_platforms_are_listed(microtvm: Microtvm) -> None:
    lines = microtvm("create", "-h", status=0).out.splitlines()
    start = lines.index("platforms:")
    assert lines[start + 1].strip() == PLATFORMS
    text = " ".join(" ".join(lines[start:]).split())
    assert "you must select a platform from the list. You can pass '-h' for a selected" in text
    assert text.endswith("template select an adhoc template.")
    assert "invalid choice: 'zephir'" in microtvm("create", "p", SINE, "zephir", status=2).err


def test_options_are_listed_as_tvmc_lists_them(microtvm: Microtvm) -> None:
    lines = microtvm("create-project", "p", SINE, "host", "--list-options", status=0).out
    assert lines.splitlines()[0] == (
        "usage: microtvm create-project PROJECT_DIR MODEL host [--list-options] "
        "-o OPTION=VALUE [OPTION=VALUE ...]"
    )
    block = lines.partition("-o OPTION=VALUE [OPTION=VALUE ...]\n")[2].partition("-o ")[2]
    options = [line.removeprefix(" " * 24) for line in block.splitlines()[1:]]
    assert options[:2] == ["board={host}", "  name of the board. (required)"]
    assert options[2] == ""
    at = options.index("warning_as_error={true, false}")
    assert options[at + 1] == "  stop at compiler warnings."
    at = options.index("executor={aot, graph, host_driven}")
    assert options[at + 1].endswith(" Defaults to 'aot'.")
    assert not any("board_definition" in line for line in options)
    assert microtvm("create-project", "p", SINE, "host", "-h").out == lines


def test_folders_of_boards_may_stand_before_or_behind_the_platform(
    microtvm: Microtvm, tmp_path: Path
) -> None:
    folders = []
    for name in ("first", "second"):
        folder = tmp_path / f"boards_{name}"
        folder.mkdir()
        text = f'name = "{name}"\nhost = {{}}\n[cpu]\narch = "host"\n'
        (folder / f"{name}.toml").write_text(text)
        folders += ["--boards-dir", folder]
    before, behind = folders[:2], folders[2:]
    words = ("create", *before, "p", SINE, "host", *behind)
    assert "board={first, host, second}" in microtvm(*words, "--list-options", status=0).out
    microtvm(*words, "-o", "board=second", status=0)


def test_many_choices_are_wrapped(microtvm: Microtvm) -> None:
    lines = microtvm("create", "p", SINE, "baremetal", "--list-options", status=0).out.splitlines()
    (at,) = (index for index, line in enumerate(lines) if line.strip().startswith("board={"))
    indent = " " * 24
    assert lines[at].startswith(f"{indent}board={{")
    assert lines[at + 1].startswith(f"{indent}{' ' * len('board=')}")
    assert all(len(line) <= 24 + 82 for line in lines[at : at + 4])


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["board"], "Invalid option format: board. Please use OPTION=VALUE."),
        (
            ["bord=host"],
            "Option 'bord' is invalid. Use --list-options to see all available options. "
            "Did you mean 'board'?",
        ),
        (
            ["warning_as_error=true"],
            "Option 'board' is required but was not specified. Use --list-options to see all "
            "required options.",
        ),
        (
            ["board=hots"],
            "Choice 'hots' for option 'board' is invalid. Use --list-options to see all available "
            "choices for that option. Did you mean 'host'?",
        ),
        (
            ["board=host", "warning_as_error=treu"],
            "Choice 'treu' for option 'warning_as_error' is invalid. Use --list-options to see all "
            "available choices for that option. Did you mean 'true'?",
        ),
    ],
)
def test_wrong_options(microtvm: Microtvm, pairs: list[str], message: str) -> None:
    ended = microtvm("create", "p", SINE, "host", "-o", *pairs, status=2)
    assert ended.err == f"microtvm: {message}\n"
    assert not Path("p").exists()


def test_no_options_at_all(microtvm: Microtvm) -> None:
    usage, error = microtvm("create", "p", SINE, "host", status=2).err.splitlines()
    assert usage.startswith("usage: microtvm create-project PROJECT_DIR MODEL host")
    assert error.endswith("error: the following arguments are required: -o (board)")


def test_wrong_folders(microtvm: Microtvm, tmp_path: Path) -> None:
    def said(*arguments: str | Path) -> str:
        return microtvm(*arguments, status=2).err.removeprefix("microtvm: ").strip()

    board = ("-o", "board=host")
    assert said("create", "p", "no.tar", "host", *board) == "MLF file no.tar does not exist!"
    assert said("create", "p", SINE, "template", "-d", "no") == (
        "Template directory no does not exist!"
    )
    for command in ("build", "flash", "run"):
        assert said(command, "p") == "p doesn't exist."
    Path("p").mkdir()
    assert said("build", "p") == "Error: Project API server not found in p!"
    shutil.copy(ROOT / "pytest_microtvm/platforms/host/microtvm_api_server.py", "p")
    assert said("build", "p") == (
        "Error: Project directory error. That usually happens when model.tar is not found."
    )
    assert said("create", "p", SINE, "host", *board) == (
        "The specified project dir already exists. To force overwriting it use '-f' or '--force'."
    )


@pytest.mark.parametrize(("platform", "board"), [("host", "host"), ("baremetal", "mps2_an386")])
def test_the_life_of_a_project(microtvm: Microtvm, platform: str, board: str) -> None:
    need_tools(load_boards()[board])
    microtvm("create-project", "p", SINE, platform, "-o", f"board={board}", status=0)
    assert microtvm("flash", "p", status=2).err.startswith("microtvm: Could not find a build in p")
    microtvm("build", "p", status=0)
    assert microtvm("build", "p", platform, status=2).err == (
        "microtvm: There is already a build in p. To force rebuild it use '-f' or '--force'.\n"
    )
    microtvm("build", "p", platform, "-f", "-o", "verbose=true", status=0)
    microtvm("flash", "p", platform, status=0)
    Path("p").rename("q")
    ended = microtvm("run", "q", "--device", "micro", "--print-time", "--print-top", "1", status=0)
    indices, values, title, heading, times = ended.out.splitlines()
    assert indices.split() == ["[[", "0]"]
    assert values.strip().startswith("[")
    assert title == "Execution time summary:"
    assert heading.split()[::2] == ["mean", "median", "max", "min", "std"]
    assert float(times.split()[0]) > 0
    assert times.split()[4] == "0.0000"


def test_inputs_and_outputs(microtvm: Microtvm) -> None:
    microtvm("create", "p", SINE, "host", "-o", "board=host", "executor=graph", status=0)
    microtvm("build", "p", status=0)
    microtvm("run", "p", "-o", "zeros.npz", "--fill-mode", "zeros", status=0)
    np.savez("x.npz", x=np.full((1, 1), 100, np.int8))
    microtvm("run", "p", "-i", "x.npz", "--fill-mode", "zeros", "-o", "y.npz", status=0)
    with np.load("zeros.npz") as zeros, np.load("y.npz") as outputs:
        assert zeros["y"].dtype == outputs["y"].dtype == np.int8
        assert zeros["y"] != outputs["y"]
        expected = int(outputs["y"][0, 0])
    found = json.loads(microtvm("run", "p", "-i", "x.npz", "--print-top", "1", "--json").out)
    assert found["outputs"]["y"]["top"] == {"indices": [0], "values": [expected]}
    assert len(found["times_s"]) == 1
    timed = json.loads(microtvm("run", "p", "--repeat", "3", "--number", "2", "--json").out)
    assert len(timed["times_s"]) == 3
    assert timed["metrics"]["latency_us"]["samples"] == 6
    assert "instructions" in microtvm("run", "p", "--profile", status=0).out
    for inputs, message in (("no.npz", "there is no file no.npz"), ("y.npz", "unknown tensor 'y'")):
        assert message in microtvm("run", "p", "-i", inputs, status=2).err


def test_programs_without_the_host(microtvm: Microtvm) -> None:
    need_tools(load_boards()["host"])
    for kind, last in (("example_project", "done"), ("mlperftiny", "m-ready")):
        more = ["benchmark=ad01"] if kind == "mlperftiny" else []
        options = ["board=host", f"project_type={kind}", *more]
        microtvm("create-project", kind, SINE, "host", "-o", *options, status=0)
        microtvm("build", kind, status=0)
        assert microtvm("run", kind, status=0).out.splitlines()[-1] == last
        assert "only prints" in microtvm("run", kind, "--json", status=2).err
    # Inputs and outputs are in the arena, unless that is turned off.
    program = Path("example_project/src/main.c").read_text()
    assert "_map_inputs(&pools)" in program
    assert "input_x" not in program
    type_option = "project_type=standalone"
    microtvm(
        *("create-project", "--no-io-in-arena", "arrays", SINE, "host"),
        *("-o", "board=host", type_option),
        status=0,
    )
    assert "int8_t input_x[" in Path("arrays/src/main.c").read_text()
    project = open_project("example_project")
    assert project.project_type == "standalone"
    with pytest.raises(ConfigError, match="of type standalone, has no RPC server"):
        project.open()
    with project.open_console() as console:
        name, _, value = str(console.read_line()).partition(":")
        assert (name, -128 <= int(value) <= 127) == ("y", True)
        assert [console.read_line(), console.read_line()] == ["done", None]


def test_recorded_options(microtvm: Microtvm) -> None:
    microtvm("create", "p", SINE, "host", "-o", "board=host", "warning_as_error=false", status=0)
    ended = microtvm("build", "p", "--auto", "-o", "warning_as_error=true", status=0)
    assert ended.err.splitlines() == [
        "microtvm: warning_as_error=True in place of False, which the project was created with"
    ]
    assert "was created for the platform host, not for baremetal" in (
        microtvm("flash", "p", "baremetal", status=2).err
    )
    for arguments in (["build", "p"], ["build", "p", "host"]):
        listed = microtvm(*arguments, "--list-options", status=0).out
        assert "verbose={true, false}" in listed
    record = json.loads(Path("p/.microtvm.json").read_text())
    Path("p/.microtvm.json").write_text(json.dumps({**record, "version": 99}))
    assert "was written by a newer version" in microtvm("run", "p", status=2).err


def test_a_template_of_ones_own(microtvm: Microtvm) -> None:
    shutil.copytree(ROOT / "tests" / "contract" / "third_party", "mine")
    options = microtvm("create", "p", SINE, "template", "-d", "mine", "--list-options", status=0)
    assert "board={cat, dog}" in options.out
    created = ("-o", "board=dog", "project_type=host_driven")
    microtvm("create", "p", SINE, "template", "-d", "mine", *created, status=0)
    assert microtvm("build", "p", status=1).err.startswith(
        "The following error occurred on the Project API server side: "
    )
    microtvm(
        "create",
        "p",
        SINE,
        "template",
        "-d",
        "mine",
        "-f",
        *created[:1],
        "board=cat",
        "project_type=host_driven",
        status=0,
    )
    microtvm("build", "p", status=0)
    microtvm("flash", "p", status=0)


def test_a_template_whose_firmware_runs(microtvm: Microtvm, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "pytest_microtvm" / "platforms" / "host", "mine")
    definition = tmp_path / "host.json"
    definition.write_text(load_boards()["host"].to_json())
    pairs = ("board=host", f"board_definition={definition}")
    microtvm("create", "p", SINE, "template", "--template-dir", "mine", "-o", *pairs, status=0)
    microtvm("build", "p", status=0)
    assert microtvm("run", "p", "--print-top", "1", status=0).out.startswith("[[")
