"""What a run tells of costs: in the records, in JUnit's report and in the terminal."""

import json
import shutil
import xml.etree.ElementTree as ET

import pytest

from tests.plugin.running import MODELS

SCHEMA = MODELS.parents[1] / "docs" / "records.schema.json"


@pytest.fixture
def sine(workspace):
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")
    return workspace / "sine.tflite"


def value(record, name):
    return record["metrics"][name]["value"]


def properties(path):
    """The properties of each test in JUnit's report, by the test's name."""
    return {
        case.get("name"): {each.get("name"): each.get("value") for each in case.iter("property")}
        for case in ET.parse(path).getroot().iter("testcase")
    }


def test_two_runs_count_the_same_with_every_executor(run_pytest, sine):
    executors = "--microtvm-executor=aot,graph,host_driven"
    runs = [
        run_pytest(sine.name, "--microtvm-board=qemu_x86,mps2_an386", executors, status=0).records
        for _ in range(2)
    ]
    counts = [[(value(r, "instructions"), r["layers"]) for r in records] for records in runs]
    assert counts[0] == counts[1]
    by_board: dict[str, object] = {}
    for record in runs[0]:
        kernels = [(layer["kernel"], layer["instructions"]) for layer in record["layers"]]
        assert len(kernels) == 3
        own = value(record, "instructions") - sum(count for _, count in kernels)
        assert own == 0 if record["executor"] == "host_driven" else 0 < own < 200
        # The same kernels with the same tensors, whoever calls them.
        assert by_board.setdefault(record["board"], kernels) == kernels


def test_layers_follow_the_schema(run_pytest, sine):
    [record] = run_pytest(sine.name, "--microtvm-board=qemu_x86", status=0).records
    schema = json.loads(SCHEMA.read_text())["properties"]["records"]["items"]["properties"]
    for layer in record["layers"]:
        assert sorted(layer) == sorted(schema["layers"]["items"]["required"])
    assert value(record, "stack_bytes") > 200
    assert record["absent"] == {}


def test_what_cannot_be_measured_says_why(run_pytest, sine):
    outcome = run_pytest("-v", sine.name, "--microtvm-board=host", status=0)
    assert sorted(outcome.records[0]["absent"]) == ["instructions", "stack_bytes"]
    assert outcome.lines("no instructions of host: only an emulator counts")
    assert value(outcome.records[0], "flash_constants_bytes") > 300


def test_a_plugin_that_cannot_be_made_is_no_error(
    run_pytest, warm_cache, sine, tmp_path, monkeypatch
):
    cache, _ = warm_cache(sine.name, "--microtvm-board=qemu_x86")
    shutil.rmtree(cache / "counting")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "cc").write_text("#!/bin/sh\necho 'cc: out of order' >&2\nexit 1\n")
    (folder / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    outcome = run_pytest(sine.name, "--microtvm-board=qemu_x86", cache=cache, status=0)
    [record] = outcome.records
    assert record["outcome"] == "passed"
    assert record["absent"]["instructions"].endswith("cc: out of order")
    assert "instructions" not in record["metrics"]


def test_counting_can_be_left_out(run_pytest, sine):
    option = "--microtvm-no-instructions"
    [record] = run_pytest(sine.name, "--microtvm-board=qemu_x86", option, status=0).records
    assert record["absent"] == {"instructions": "not to be counted"}
    assert value(record, "stack_bytes") > 200


def test_layers_are_shown_on_request(run_pytest, sine):
    arguments = (sine.name, "--microtvm-board=qemu_x86")
    assert not run_pytest(*arguments, status=0).lines("KERNEL ")
    outcome = run_pytest(*arguments, "--microtvm-layers", status=0)
    [record] = outcome.records
    assert outcome.lines(f"sine.tflite on qemu_x86, aot: {value(record, 'instructions'):,} instr")
    for layer in record["layers"]:
        name = layer["kernel"].removeprefix("tvmgen_sine_")
        assert f"{layer['instructions']:,}" in outcome.lines(f"  {name} ")[0]


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "xdist"])
def test_junit_has_the_figures_of_each_test(run_pytest, workspace, sine, workers):
    arguments = ("--microtvm-board=host,qemu_x86", "--junitxml=junit.xml", *workers)
    records = run_pytest(sine.name, *arguments, status=0).records
    found = properties(workspace / "junit.xml")
    for record in records:
        case = found[f"aot[{record['board']}]"]
        assert case["microtvm_model"] == "sine.tflite"
        assert case["microtvm_board"] == record["board"]
        for name in record["metrics"]:
            assert float(case[f"microtvm_{name}"]) == value(record, name)
    assert int(found["aot[qemu_x86]"]["microtvm_instructions"]) > 1000


def test_junit_has_the_figures_of_tests_in_python(run_pytest, workspace, sine):
    (workspace / "test_sine.py").write_text(
        "import pytest\n"
        "@pytest.mark.microtvm_model('sine.tflite')\n"
        "def test_sine(microtvm):\n"
        "    microtvm.check()\n"
        "    assert microtvm.metrics.instructions.value < 100_000\n"
        "    assert len(microtvm.metrics.layers) == 3\n"
        "def test_nothing():\n"
        "    pass\n"
    )
    run_pytest("--microtvm-board=qemu_x86", "--junitxml=junit.xml", "test_sine.py", status=0)
    found = properties(workspace / "junit.xml")
    assert int(found["test_sine[qemu_x86-aot]"]["microtvm_stack_bytes"]) > 200
    assert found["test_nothing"] == {}


def test_junit_and_records_tell_of_builds_alone(run_pytest, workspace, sine):
    arguments = ("--microtvm-board=qemu_x86", "--microtvm-build-only", "--junitxml=junit.xml")
    [record] = run_pytest(sine.name, *arguments, status=0).records
    [case] = properties(workspace / "junit.xml").values()
    assert int(case["microtvm_flash_bytes"]) == value(record, "flash_bytes")
    assert "microtvm_instructions" not in case


def test_a_build_alone_that_fails_is_an_error_in_its_record(run_pytest, workspace):
    (workspace / "bad.tflite").write_bytes(b"no model")
    outcome = run_pytest("bad.tflite", "--microtvm-board=host", "--microtvm-build-only", status=1)
    [record] = outcome.records
    assert record["outcome"] == "error"
