"""Figures held to those of an earlier run, and to budgets."""

import io
import json
import re
import shutil
import tarfile

import pytest

from tests.plugin.running import MODELS

BOARD = "mps2_an386"
BASELINE = "--microtvm-baseline=baseline.json"


@pytest.fixture
def archive(run_pytest, workspace):
    """The sine model as an archive in the workspace."""
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")
    board = f"--microtvm-board={BOARD}"
    run_pytest("sine.tflite", board, "--microtvm-build-only", "--microtvm-keep-projects", status=0)
    made = workspace / "microtvm_projects" / f"sine-aot-{BOARD}" / "model.tar"
    shutil.move(made, workspace / "net.tar")
    return workspace / "net.tar"


def plant_growth(archive, kernel, code):
    """Put code at the beginning of a kernel in an archive."""
    planted = archive.with_name("planted.tar")
    with tarfile.open(archive) as old, tarfile.open(planted, "w") as new:
        for member in old.getmembers():
            file = old.extractfile(member)
            data = None if file is None else file.read()
            if data is not None and member.name.endswith("_lib0.c"):
                text, count = re.subn(
                    rf"^(void {kernel}\([^;{{]*\{{)$", rf"\1\n{code}", data.decode(), flags=re.M
                )
                assert count == 1
                data = text.encode()
                member.size = len(data)
            new.addfile(member, io.BytesIO(data) if data is not None else None)
    planted.replace(archive)


def test_growth_of_one_layer_fails_and_names_it(run_pytest, workspace, archive):
    arguments = (archive.name, f"--microtvm-board={BOARD}", BASELINE)
    outcome = run_pytest(*arguments, "--microtvm-baseline-update", status=0)
    assert outcome.lines("the baseline ")
    baseline = (workspace / "baseline.json").read_text()
    outcome = run_pytest(*arguments, status=0)
    assert not outcome.lines("shrank by")
    assert not outcome.lines("not in the baseline")
    # 32 instructions of 2 bytes each; the reference runs the same code on this computer
    plant_growth(
        archive, "tvmgen_sine_fully_connected_1", '  __asm__ volatile(".rept 32; nop; .endr");'
    )
    outcome = run_pytest(*arguments, status=1)
    assert "1 failed" in outcome.summary
    line = outcome.lines("flash_bytes grew by ")[0]
    assert 64 <= int(line.split(" grew by ")[1].split()[0]) < 72  # and padding
    assert line.endswith("; the limit is 0")
    lines = outcome.output.splitlines()
    assert re.fullmatch(
        r"  layer fully_connected_1, section \.text, symbol tvmgen_sine_fully_connected_1: "
        r"\+6\d bytes, from [\d,]+ to [\d,]+",
        lines[lines.index(line) + 1],
    )
    line = outcome.lines("instructions grew by 3")[0]  # or what the compiler makes of it
    lines = outcome.output.splitlines()
    assert lines[lines.index(line) + 1].startswith("  layer fully_connected_1: +3")
    [record] = outcome.records
    assert (record["verdict"], record["outcome"]) == ("match", "failed")
    assert record["error"].startswith("flash_bytes grew by ")
    # Nothing wrote the baseline; a limit of 1% is not reached.
    assert (workspace / "baseline.json").read_text() == baseline
    limits = "microtvm_limits =\n    flash_bytes = 1%\n    instructions = 1000\n"
    (workspace / "pytest.ini").write_text(f"[pytest]\n{limits}")
    run_pytest(*arguments, status=0)
    (workspace / "pytest.ini").write_text("[pytest]\n")
    run_pytest(*arguments, "--microtvm-baseline-update", status=0)
    text = (workspace / "baseline.json").read_text()
    changed = [
        line
        for line in text.splitlines()
        if line not in baseline.splitlines() and "fully_connected_1" in line
    ]
    assert len(changed) == 2  # its code, and its instructions


def test_what_shrank_is_told_and_an_update_keeps_comments_and_what_was_not_run(
    run_pytest, workspace
):
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")
    arguments = ("sine.tflite", "--microtvm-board=host", BASELINE, "-n2")
    run_pytest(*arguments, "--microtvm-baseline-update", status=0)
    path = workspace / "baseline.json"
    document = json.loads(path.read_text())
    [record] = document["records"]
    other = {**record, "board": "another", "comment": "the old board"}
    record["metrics"]["flash_bytes"]["value"] += 1000
    record["metrics"]["flash_bytes"]["comment"] = "since the softmax"
    path.write_text(json.dumps({"version": 2, "comment": "ours", "records": [record, other]}))
    outcome = run_pytest(*arguments, status=0)
    assert outcome.lines("sine.tflite on host, aot: flash_bytes shrank by 1,000 bytes, from ")
    run_pytest(*arguments, "--microtvm-baseline-update", status=0)
    found = json.loads(path.read_text())
    assert found["comment"] == "ours"
    assert [each["board"] for each in found["records"]] == ["another", "host"]
    assert found["records"][0]["comment"] == "the old board"
    flash = found["records"][1]["metrics"]["flash_bytes"]
    assert flash["comment"] == "since the softmax"
    outcome = run_pytest("sine.tflite", "--microtvm-board=host", BASELINE, status=0)
    assert not outcome.lines("shrank by")


def test_a_model_that_is_new_is_told(run_pytest, workspace):
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")
    (workspace / "baseline.json").write_text('{"version": 1, "records": []}')
    outcome = run_pytest("sine.tflite", "--microtvm-board=host", BASELINE, status=0)
    assert outcome.lines("sine.tflite on host, aot: not in the baseline")


@pytest.mark.parametrize(
    ("options", "files", "ini", "texts"),
    [
        ([BASELINE], {}, "", ["there is no baseline", "--microtvm-baseline-update writes one"]),
        (["--microtvm-baseline-update"], {}, "", ["needs a file", "--microtvm-baseline=PATH"]),
        ([BASELINE], {"baseline.json": "no"}, "", ["is no file of records", "no JSON"]),
        ([BASELINE], {"baseline.json": "[]"}, "", ["is no file of records"]),
        (
            [BASELINE],
            {"baseline.json": '{"version": 99, "records": []}'},
            "",
            ["of version 99", "is no file of records"],
        ),
        (
            [BASELINE],
            {"baseline.json": '{"version": 2, "records": [{"model": "m"}]}'},
            "",
            ["a record lacks something"],
        ),
        ([], {}, "microtvm_limits = flash_bytes", ["the limit 'flash_bytes' cannot be read"]),
        ([], {}, "microtvm_limits = flash = 1%", ["names no figure", "flash_bytes"]),
        ([], {}, "microtvm_budgets = x flash_bytes", ["the budget 'x flash_bytes' cannot be"]),
        ([], {}, "microtvm_budgets = *: flash = 3", ["names no figure at 'flash'"]),
        ([], {}, "microtvm_budgets = *: flash_bytes = 3k", ["cannot be read at"]),
    ],
)
def test_what_cannot_be_read_is_told_before_any_test(
    run_pytest_inside, workspace, options, files, ini, texts
):
    for name, text in files.items():
        (workspace / name).write_text(text)
    (workspace / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
    outcome = run_pytest_inside("--microtvm-board=host", *options, status=4)
    [line] = outcome.lines("ERROR: ")
    for text in texts:
        assert text in line


def test_budgets_of_model_files_are_lines_of_the_ini_file(run_pytest, workspace):
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")
    ini = "[pytest]\nmicrotvm_budgets =\n    {}\n    other*: flash_bytes = 1\n"
    arguments = ("sine.tflite", f"--microtvm-board=host,{BOARD}")
    generous = f"s*.tflite on {BOARD}: flash_bytes = 100_000, instructions = 100_000"
    (workspace / "pytest.ini").write_text(ini.format(generous))
    run_pytest(*arguments, status=0)
    (workspace / "pytest.ini").write_text(ini.format("sine.tflite on arch:arm: flash_bytes = 999"))
    outcome = run_pytest(*arguments, status=1)
    assert "1 failed, 1 passed" in outcome.summary
    assert outcome.lines("more than the budget of 999 (sine.tflite on arch:arm: flash_bytes = 999)")
    (workspace / "pytest.ini").write_text(ini.format("*: instructions = 100_000"))
    outcome = run_pytest(*arguments, status=1)
    assert "1 passed, 1 error" in outcome.summary
    assert outcome.lines("which is not there: only an emulator counts instructions")
