"""Verdicts, outcomes and errors of tests: what is told of each, and where it points."""

import re
import shutil
import xml.etree.ElementTree as ET

import pytest

from tests.plugin.running import MODELS

SINE = "@pytest.mark.microtvm_model('sine.tflite')\n"


@pytest.fixture
def write_test(workspace):
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")

    def write(text):
        (workspace / "test_it.py").write_text("import numpy as np\nimport pytest\n\n" + text)

    return write


def without_times(records):
    """Records less what depends on clocks and on who found what in the cache."""
    for record in records:
        del record["timings_s"], record["cached"]
        record["metrics"]["latency_us"]["value"] = None
    return records


def test_records_are_the_same_with_and_without_workers(run_pytest, write_test):
    # The instructions of these inputs differ: each worker of two sees only some of them.
    write_test(
        f"{SINE}"
        "@pytest.mark.parametrize('value', [-128, 0, 64, 127])\n"
        "def test_value(microtvm, value):\n"
        "    microtvm.check(np.full((1, 1), value, 'int8'))\n"
    )
    alone, many = (
        run_pytest(f"-n{workers}", "--microtvm-board=qemu_x86", status=0).records
        for workers in (0, 2)
    )
    assert alone[0]["metrics"]["latency_us"]["samples"] == 4
    assert without_times(alone) == without_times(many)


def test_figures_are_those_of_all_runs_of_a_test_file(run_pytest, write_test):
    write_test(
        "pytestmark = pytest.mark.microtvm_model('sine.tflite')\n"
        "def test_runs(microtvm):\n"
        "    microtvm.run()\n"
        "    assert microtvm.metrics.latency_us.samples == 1\n"
        "    microtvm.session.run({'x': np.zeros((1, 1), 'int8')})\n"
        "    assert microtvm.metrics.latency_us.samples == 2\n"
        "    microtvm.check()\n"  # the reference runs on the same board, and is no run of the test
        "    assert microtvm.metrics.latency_us.samples == 3\n"
    )
    run_pytest("--microtvm-board=host", status=0)


def test_verdict_and_outcome_are_two_things(run_pytest, write_test):
    write_test(
        f"{SINE}def test_budget(microtvm):\n"
        "    microtvm.check()\n"
        "    assert microtvm.metrics.flash_bytes.value < 1, 'too large'\n"
    )
    outcome = run_pytest("--microtvm-board=host", status=1)
    [record] = outcome.records
    assert (record["verdict"], record["outcome"]) == ("match", "failed")
    assert record["error"].startswith("too large")
    [test] = record["tests"]
    assert (test["id"], test["outcome"]) == ("test_it.py::test_budget[host-aot]", "failed")
    assert outcome.lines("sine.tflite on host by aot: tests failed, verdict match")


def test_a_test_that_compares_nothing_has_no_verdict(run_pytest, write_test):
    write_test(f"{SINE}def test_size(microtvm):\n    microtvm.run()\n")
    [record] = run_pytest("--microtvm-board=host", status=0).records
    assert (record["verdict"], record["outcome"]) == (None, "passed")


def test_outputs_of_another_shape_are_a_mismatch(run_pytest, write_test):
    write_test(
        f"{SINE}def test_all(microtvm, monkeypatch):\n"
        "    real = microtvm._harness.reference\n"
        "    monkeypatch.setattr(microtvm._harness, 'reference', lambda *a: {\n"
        "        name: array[None] for name, array in real(*a).items()})\n"
        "    microtvm.check()\n"
    )
    [record] = run_pytest("--microtvm-board=host", status=1).records
    assert (record["verdict"], record["outcome"]) == ("mismatch", "failed")


def test_an_error_in_a_test_is_no_failure_and_shows_the_line(run_pytest, workspace, write_test):
    write_test(
        "def helper(model):\n"
        "    return model.run({'z': [1]})\n\n"
        f"{SINE}def test_usage(microtvm):\n"
        "    helper(microtvm)\n"
    )
    outcome = run_pytest("-n2", "--microtvm-board=host", "--junitxml=junit.xml", status=1)
    assert "1 error" in outcome.summary
    assert "failed" not in outcome.summary
    assert outcome.lines("ERROR at call of test_usage[host-aot]")
    assert not outcome.lines("at setup")
    at = outcome.output.splitlines().index("test_it.py:9: in test_usage")
    lines = outcome.output.splitlines()[at : at + 5]
    assert lines[1:4] == [
        "    helper(microtvm)",
        "test_it.py:5: in helper",
        "    return model.run({'z': [1]})",
    ]
    assert lines[4].startswith("ConfigError: inputs: unknown tensor 'z'")
    assert "pytest_microtvm/" not in outcome.output
    [record] = outcome.records
    assert (record["verdict"], record["outcome"]) == (None, "error")
    [case] = ET.parse(workspace / "junit.xml").getroot().iter("testcase")
    assert [child.tag for child in case if child.tag != "properties"] == ["error"]


def test_an_error_before_a_test_is_at_setup(run_pytest, write_test):
    write_test("@pytest.mark.microtvm_model('none.tflite')\ndef test_it(microtvm): pass\n")
    outcome = run_pytest("--microtvm-board=host", status=1)
    assert outcome.lines("ERROR at setup of test_it[host-aot]")


def test_a_mismatch_in_a_test_shows_the_test_and_the_report_only(run_pytest, write_test):
    write_test(
        f"{SINE}def test_it(microtvm, monkeypatch):\n"
        "    real = microtvm._harness.reference\n"
        "    monkeypatch.setattr(microtvm._harness, 'reference', lambda *a: {\n"
        "        name: array + 1 for name, array in real(*a).items()})\n"
        "    microtvm.check()\n"
    )
    outcome = run_pytest("--microtvm-board=host", status=1)
    assert outcome.lines(">       microtvm.check()")
    assert outcome.lines("device differs from the host reference in 1 of 1 elements")
    assert "pytest_microtvm/" not in outcome.output.replace("OutputMismatch", "")


def test_skips_point_at_the_test(run_pytest, write_test):
    write_test(
        f"{SINE}@pytest.mark.skip_boards('host')\ndef test_board(microtvm): pass\n\n"
        f"{SINE}@pytest.mark.microtvm_board(only='qemu_x86')\ndef test_only(microtvm): pass\n"
    )
    outcome = run_pytest("-rs", "--microtvm-board=host", status=0)
    assert outcome.lines("SKIPPED [1] test_it.py:4: skip_boards names host")
    assert outcome.lines("SKIPPED [1] test_it.py:8: host is not one of qemu_x86")
    outcome = run_pytest("-rs", status=0)
    assert outcome.lines("SKIPPED [1] test_it.py:4: no board is named")
    assert "pytest_microtvm/" not in outcome.output


@pytest.mark.parametrize("workers", [0, 2])
def test_ids_that_are_printed_are_accepted(run_pytest, workspace, write_test, workers):
    write_test(f"{SINE}def test_it(microtvm): microtvm.run()\n")
    (workspace / "some.models").mkdir()
    shutil.move(workspace / "sine.tflite", workspace / "some.models" / "kws.v1.tflite")
    (workspace / "bad.tflite").write_bytes(b"no model")
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")
    arguments = ("--microtvm-board=host", "--microtvm-executor=graph", "-rA")
    workers_option = f"-n{workers}"
    outcome = run_pytest(
        "-v", workers_option, "some.models", "bad.tflite", "test_it.py", *arguments, status=1
    )
    found = set(re.findall(r"\S+::\S+", outcome.output))
    expected = {
        "some.models/kws.v1.tflite::graph[host]",
        "bad.tflite::graph[host]",
        "test_it.py::test_it[host-graph]",
    }
    assert found == expected
    again = run_pytest("-v", workers_option, *sorted(found), *arguments, status=1)
    assert "2 passed, 1 error" in again.summary
