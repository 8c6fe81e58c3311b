"""What a run tells CI systems."""

import shutil

from tests.plugin.running import MODELS

TEST = """import pytest

@pytest.mark.microtvm_model("sine.tflite")
def test_size(microtvm):
    microtvm.check()
    assert microtvm.metrics.flash_bytes < 1, "100% too large"

@pytest.mark.microtvm_model("sine.tflite")
def test_usage(microtvm):
    microtvm.run({"z": [1]})
"""


def test_a_run_is_on_the_page_of_the_job_and_failures_are_annotated(run_pytest, workspace):
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")
    (workspace / "bad.tflite").write_bytes(b"no model")
    (workspace / "test_it.py").write_text(TEST)
    page = workspace / "page.md"
    page.write_text("# Before\n")
    environment = {
        "GITHUB_STEP_SUMMARY": str(page),
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(workspace.parent),
    }
    outcome = run_pytest(
        "-n2",
        *("test_it.py", "bad.tflite", "--microtvm-board=host", "--microtvm-markdown=note.md"),
        env=environment,
        status=1,
    )
    text = page.read_text()
    assert text.startswith("# Before\n## microtvm\n")
    assert text.removeprefix("# Before\n") == (workspace / "note.md").read_text()
    assert "2 models on 1 board: 2 error" in text
    assert "100% too large" in text
    lines = sorted(outcome.lines("::error "), key=lambda line: line.split("title=")[1])
    assert [line.split("::")[1].split(",title")[0] for line in lines] == [
        f"error file={workspace.name}/bad.tflite,line=1",
        f"error file={workspace.name}/test_it.py,line=6",
        f"error file={workspace.name}/test_it.py,line=10",
    ]
    assert "title=test_it.py%3A%3Atest_size[host-aot]::" in lines[1]
    assert "100%25 too large%0A" in lines[1]


def test_a_page_that_cannot_be_written_is_told(run_pytest, workspace):
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")
    environment = {"GITHUB_STEP_SUMMARY": str(workspace)}
    outcome = run_pytest("sine.tflite", "--microtvm-board=host", env=environment, status=3)
    assert outcome.lines("ERROR: cannot write ")
    assert outcome.records[0]["outcome"] == "passed"
