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
