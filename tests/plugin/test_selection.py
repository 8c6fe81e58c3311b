"""Boards by glob and tag, and tests that are only for some of them."""

import re
import shutil

import pytest

from tests.plugin.running import MODELS


@pytest.fixture
def boards(workspace):
    """A board with 100 kB of RAM, too small for the keyword model, beside the package's own."""
    source = (MODELS.parents[1] / "boards" / "qemu_x86.toml").read_text()
    small = source.replace('name = "qemu_x86"', 'name = "small_pc"')
    small, count = re.subn(r'(name = "ram"[^[]*?\nbytes = )\w+', r"\g<1>80_000", small)
    assert count == 1
    (workspace / "boards").mkdir()
    (workspace / "boards" / "small_pc.toml").write_text(small)
    for name in ("sine_int8", "keyword_int8"):
        shutil.copy(MODELS / f"{name}.tflite", workspace)
    return "--microtvm-boards-dir=boards"


def test_a_model_that_does_not_fit_a_found_board_is_passed_over(run_pytest, boards):
    outcome = run_pytest(
        "-rs", "keyword_int8.tflite", boards, "--microtvm-board=small_*,host", status=0
    )
    assert "1 passed, 1 skipped" in outcome.summary
    [line] = [line for line in outcome.lines("SKIPPED") if "small_pc" in line]
    assert "too large: needs" in line
    assert "80000" in line
    by_board = {record["board"]: record for record in outcome.records}
    assert by_board["small_pc"]["outcome"] == "skipped"
    assert "80000" in by_board["small_pc"]["error"]
    assert by_board["host"]["outcome"] == "passed"


def test_on_a_named_board_it_is_an_error(run_pytest, boards):
    outcome = run_pytest("keyword_int8.tflite", boards, "--microtvm-board=small_pc", status=1)
    assert "1 error" in outcome.summary


def test_tags_and_available(run_pytest, boards):
    outcome = run_pytest("sine_int8.tflite", boards, "--microtvm-board=arch:i386", status=0)
    assert [record["board"] for record in outcome.records] == ["qemu_x86", "small_pc"]


def test_markers_keep_a_test_from_boards(run_pytest, workspace, boards):
    (workspace / "test_it.py").write_text("""
import pytest

@pytest.mark.microtvm_board(requires_ram=200_000)
def test_ram(microtvm_board):
    assert microtvm_board.name != "small_pc"

@pytest.mark.skip_boards("host")
def test_not_host(microtvm_board):
    assert microtvm_board.name != "host"

@pytest.mark.microtvm_board(only="arch:i386", skip=["small_*"])
def test_one(microtvm_board):
    assert microtvm_board.name == "qemu_x86"
""")
    outcome = run_pytest("-rs", boards, "--microtvm-board=qemu_x86,small_pc,host", status=0)
    assert "5 passed, 4 skipped" in outcome.summary
    assert outcome.lines("small_pc has 80000 bytes of ram, this test requires 200000")


@pytest.mark.parametrize(
    ("options", "ini", "expected"),
    [
        (["--microtvm-board=host"], "", ["host"]),
        (["--microtvm-board=host", "--microtvm-board=qemu_x86"], "", ["qemu_x86"]),
        (["--microtvm-board=host", "--microtvm-board=+qemu_x86"], "", ["host", "qemu_x86"]),
        (["--microtvm-board=+host"], "microtvm_board = qemu_x86", ["qemu_x86", "host"]),
        (["--microtvm-board=host"], "microtvm_board = qemu_x86", ["host"]),
        ([], "addopts = --microtvm-board=qemu_x86", ["qemu_x86"]),
        (["--microtvm-board=host"], "addopts = --microtvm-board=qemu_x86", ["host"]),
        (["--microtvm-board=+host"], "addopts = --microtvm-board=qemu_x86", ["qemu_x86", "host"]),
    ],
)
def test_later_boards_replace_earlier_ones(run_pytest_inside, workspace, options, ini, expected):
    (workspace / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")
    outcome = run_pytest_inside("sine.tflite", "--collect-only", "-q", *options, status=0)
    found = re.findall(r"sine\.tflite::aot\[(\w+)\]", outcome.output)
    assert found == expected


def test_later_executors_replace_earlier_ones(run_pytest_inside, workspace):
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")
    chosen = ("--microtvm-executor=aot", "--microtvm-executor=graph")
    outcome = run_pytest_inside(
        "sine.tflite", "--collect-only", "-q", "--microtvm-board=host", *chosen, status=0
    )
    assert re.findall(r"::(\w+)\[host\]", outcome.output) == ["graph"]


@pytest.mark.parametrize(
    ("mark", "texts"),
    [
        ("microtvm_board(requires_rma=3)", ["has no requires_rma", "is requires_ram meant?"]),
        ("microtvm_board('host')", ["takes no bare arguments", "only="]),
        ("microtvm_board(requires_ram='3k')", ["requires_ram", "is '3k'", "number of bytes"]),
        ("microtvm_board(only='hots')", ["unknown board 'hots'", "is host meant?"]),
        ("microtvm_board(skip=['arch:mips'])", ["unknown board 'arch:mips'"]),
        ("microtvm_board(only=3)", ["has 3, which is no name of a board"]),
        ("skip_boards('hots')", ["unknown board 'hots'", "is host meant?"]),
        ("skip_boards()", ["takes names, globs and tags"]),
        ("skip_boards(board='host')", ["takes names, globs and tags"]),
    ],
)
def test_markers_check_their_arguments(run_pytest_inside, workspace, mark, texts):
    (workspace / "test_it.py").write_text(
        f"import pytest\n\n@pytest.mark.{mark}\ndef test_it(microtvm_board): pass\n"
    )
    outcome = run_pytest_inside("--microtvm-board=host", status=1)
    assert "1 error" in outcome.summary
    line = outcome.lines("ConfigError: test_it.py::test_it[host]: ")[0]
    for text in texts:
        assert text in line
    assert "pytest_microtvm/" not in outcome.output


def test_several_models_of_one_test_are_a_test_each(run_pytest, workspace):
    for folder in ("one", "two"):
        (workspace / folder).mkdir()
        shutil.copy(MODELS / "sine_int8.tflite", workspace / folder / "sine.tflite")
    shutil.copy(MODELS / "sine_float32.tflite", workspace / "float.tflite")
    (workspace / "test_it.py").write_text("""
import pytest

@pytest.mark.microtvm_model("one/sine.tflite")
class TestAll:
    @pytest.mark.microtvm_model("float.tflite")
    @pytest.mark.microtvm_model("two/sine.tflite", "one/../one/sine.tflite")
    def test_two_marks(self, microtvm):
        microtvm.check()

    @pytest.mark.parametrize(
        "n", [1, pytest.param(2, marks=pytest.mark.microtvm_model("float.tflite"))]
    )
    def test_the_nearest_counts(self, microtvm, n):
        assert microtvm.model.name == ("sine.tflite" if n == 1 else "float.tflite")
        microtvm.check()
""")
    outcome = run_pytest("-rA", "--microtvm-board=host", status=0)
    assert "5 passed" in outcome.summary
    assert outcome.lines("PASSED test_it.py::TestAll::test_two_marks[host-aot-float.tflite]")
    # Models of one name are told apart, and a path is written in one way.
    assert [record["model"] for record in outcome.records] == [
        "float.tflite",
        "one/sine.tflite",
        "two/sine.tflite",
    ]
    assert [len(record["tests"]) for record in outcome.records] == [2, 2, 1]


def test_models_of_one_name_are_told_apart(run_pytest, workspace, tmp_path):
    # Two models of one name: both are compiled, built and kept under names of their own.
    for folder, model in (("a", "sine_int8"), ("b", "sine_float32")):
        (workspace / folder).mkdir()
        shutil.copy(MODELS / f"{model}.tflite", workspace / folder / "net.tflite")
    outcome = run_pytest(
        "a",
        "b",
        "--microtvm-board=host",
        "--microtvm-keep-projects",
        cache=tmp_path / "c",
        status=0,
    )
    for folder in ("a", "b"):
        assert outcome.lines(f"microtvm: compiling {folder}/net.tflite")
        assert outcome.lines(f"microtvm: building {folder}/net for host (aot)")
        assert (workspace / "microtvm_projects" / folder / "net-aot-host" / "Makefile").is_file()
        assert any(line.startswith(f"{folder}/net.tflite ") for line in outcome.lines(" ms"))


def test_the_list_of_boards_says_what_can_be_had_here(run_pytest_inside, workspace):
    source = (MODELS.parents[1] / "boards" / "netduinoplus2.toml").read_text()
    real = re.sub(r"\[emulator\].*?\n\n", "", source, flags=re.DOTALL)
    folder = workspace / "boards"
    folder.mkdir()
    (folder / "desk.toml").write_text(real.replace("netduinoplus2", "desk", 1))
    (folder / "odd.toml").write_text('name = "odd"\n[cpu]\narch = "arm"\n[nowhere]\n')
    outcome = run_pytest_inside("--microtvm-list-boards", "--microtvm-boards-dir=boards", status=0)
    rows = {line.split()[0]: line for line in outcome.output.splitlines() if line.strip()}
    assert rows["BOARD"].split()[:4] == ["BOARD", "PLATFORM", "CPU", "HERE"]
    assert " runs " in rows["host"]
    assert " builds " in rows["desk"]
    assert rows["odd"].split()[3] == "no"
    assert outcome.lines("no firmware can be built here for odd: missing the platform nowhere")
    outcome = run_pytest_inside(
        "--microtvm-board=odd,desk", "--microtvm-boards-dir=boards", "--microtvm-build-only"
    )
    assert outcome.lines("there is no platform nowhere")
    outcome = run_pytest_inside("--microtvm-board=desk", "--microtvm-boards-dir=boards", status=4)
    assert outcome.lines("--microtvm-build-only builds its firmware all the same")
