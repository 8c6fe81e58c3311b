"""`pytest model.tflite --microtvm-board=NAME`: a model file is a test."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.plugin.running import MODELS
from tests.unit.compiler.tflite_models import two_signatures

SCHEMA = MODELS.parents[1] / "docs" / "records.schema.json"


@pytest.fixture
def sine(workspace):
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")
    return workspace / "sine.tflite"


@pytest.fixture
def two_outputs(workspace):
    shutil.copy(MODELS / "motion_float32.tflite", workspace / "motion.tflite")
    return workspace / "motion.tflite"


def test_a_model_passes_on_qemu_x86(run_pytest, sine):
    outcome = run_pytest("-rA", sine.name, "--microtvm-board=qemu_x86", status=0)
    assert outcome.lines("PASSED sine.tflite::aot[qemu_x86]")
    [record] = outcome.records
    assert (record["model"], record["board"], record["platform"], record["executor"]) == (
        "sine.tflite",
        "qemu_x86",
        "baremetal",
        "aot",
    )
    assert record["outcome"] == "passed"
    assert (record["elements"], record["mismatched"], record["max_abs_diff"]) == (1, 0, 0.0)


def test_every_board_is_a_test_and_a_row(run_pytest, sine):
    outcome = run_pytest(
        sine.name, "--microtvm-board=host", "--microtvm-board=+qemu_x86,host", status=0
    )
    assert "2 passed" in outcome.summary
    assert outcome.lines("sine.tflite by aot: tests passed, verdict match")
    lines = outcome.output.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("BOARD "))
    assert [line.split()[0] for line in lines[first + 1 : first + 3]] == ["host", "qemu_x86"]


def test_several_inputs_and_outputs(run_pytest, two_outputs):
    outcome = run_pytest(two_outputs.name, "--microtvm-board=qemu_x86", status=0)
    assert outcome.records[0]["elements"] == 4


def test_a_folder_that_is_named_is_searched(run_pytest, workspace, sine):
    (workspace / "models" / "deep").mkdir(parents=True)
    sine.rename(workspace / "models" / "deep" / "sine.tflite")
    (workspace / "models" / "other.json").write_text("{}")
    outcome = run_pytest("models", "--microtvm-board=host", status=0)
    assert "1 passed" in outcome.summary


def test_a_plain_run_leaves_models_alone(run_pytest, sine):
    assert run_pytest("--microtvm-board=host", status=5).records == []


def test_the_second_run_makes_nothing_and_never_loads_the_compiler(
    run_pytest, workspace, sine, tmp_path
):
    (workspace / "conftest.py").write_text(
        "import sys\n"
        "def pytest_sessionfinish():\n"
        "    names = ('tvm', 'pytest_microtvm.compiler.pipeline', 'tflite')\n"
        "    print('LOADED', [name for name in names if name in sys.modules])\n"
    )
    cache = tmp_path / "cache"
    first = run_pytest("-s", sine.name, "--microtvm-board=qemu_x86", cache=cache, status=0)
    second = run_pytest("-s", sine.name, "--microtvm-board=qemu_x86", cache=cache, status=0)
    assert first.records[0]["cached"] == {"mlf": False, "firmware": False}
    assert second.records[0]["cached"] == {"mlf": True, "firmware": True}
    for step in ("compile", "generate", "build"):
        assert first.records[0]["timings_s"][step] > 0
        assert second.records[0]["timings_s"][step] == 0
    assert first.records[0]["build_id"] == second.records[0]["build_id"]
    assert first.lines("microtvm: compiling sine.tflite")
    assert not second.lines("microtvm: ")
    assert second.lines("LOADED []")


def test_no_cache_makes_everything_anew_and_keeps_nothing(run_pytest, sine, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    arguments = (sine.name, "--microtvm-board=host")
    run_pytest(*arguments, status=0)
    outcome = run_pytest(*arguments, status=0)
    assert outcome.records[0]["cached"] == {"mlf": True, "firmware": True}
    environment = {"TMPDIR": str(temporary)}
    outcome = run_pytest(*arguments, "--microtvm-no-cache", env=environment, status=0)
    assert outcome.records[0]["cached"] == {"mlf": False, "firmware": False}
    assert list(temporary.iterdir()) == []


def test_build_only_gives_no_verdict(run_pytest, sine):
    outcome = run_pytest(sine.name, "--microtvm-board=qemu_x86", "--microtvm-build-only", status=0)
    assert "1 skipped" in outcome.summary
    assert "passed" not in outcome.summary
    assert outcome.records[0]["outcome"] == "built"


def test_projects_are_kept_on_request(run_pytest, workspace, sine):
    outcome = run_pytest(sine.name, "--microtvm-board=host", "--microtvm-keep-projects", status=0)
    project = workspace / "microtvm_projects" / "sine-aot-host"
    assert (project / "Makefile").is_file()
    assert (project / "model.tar").is_file()
    assert outcome.lines("projects are kept in")


def test_an_mlf_archive_is_a_model(run_pytest, workspace, sine):
    run_pytest(sine.name, "--microtvm-board=host", "--microtvm-keep-projects", status=0)
    archive = workspace / "microtvm_projects" / "sine-aot-host" / "model.tar"
    shutil.copy(archive, workspace / "sine.tar")
    sine.unlink()
    outcome = run_pytest("sine.tar", "--microtvm-board=host", status=0)
    assert outcome.records[0]["cached"] == {"mlf": True, "firmware": True}


def test_inputs_come_from_a_file(run_pytest, workspace, two_outputs):
    script = (
        "import numpy as np\n"
        "np.savez('in.npz', gravity=np.zeros((1, 3), 'float32'),"
        " acceleration=np.ones((1, 32, 3), 'float32'))\n"
    )
    import subprocess

    subprocess.run([sys.executable, "-c", script], cwd=workspace, check=True, timeout=60)
    arguments = (two_outputs.name, "--microtvm-board=host", "--microtvm-inputs=in.npz")
    assert run_pytest(*arguments, status=0).records[0]["outcome"] == "passed"


def test_ini_keys_stand_in_for_options(run_pytest, workspace, sine):
    (workspace / "pytest.ini").write_text(
        "[pytest]\nmicrotvm_board = host\nmicrotvm_executor = aot\nmicrotvm_timeout = 30\n"
    )
    outcome = run_pytest(sine.name, status=0)
    assert [record["board"] for record in outcome.records] == ["host"]


def test_a_platform_stands_for_its_boards(run_pytest, sine):
    outcome = run_pytest(sine.name, "--microtvm-platform=host", status=0)
    assert [record["platform"] for record in outcome.records] == ["host"]
    outcome = run_pytest(sine.name, "--microtvm-platform=baremetal", "--collect-only", "-q")
    boards = [line for line in outcome.output.splitlines() if line.startswith("sine")]
    assert any("[qemu_x86]" in line for line in boards)
    assert len(boards) > 10
    assert not any("[host]" in line for line in boards)


def test_a_board_of_ones_own_is_a_file(run_pytest, workspace, sine):
    from pytest_microtvm.boards import load_boards

    assert "my_pc" not in load_boards()
    source = (MODELS.parents[1] / "boards" / "qemu_x86.toml").read_text()
    (workspace / "boards").mkdir()
    (workspace / "boards" / "my_pc.toml").write_text(
        source.replace('name = "qemu_x86"', 'name = "my_pc"')
    )
    outcome = run_pytest(
        sine.name, "--microtvm-board=my_pc", "--microtvm-boards-dir=boards", status=0
    )
    assert outcome.records[0]["board"] == "my_pc"


def test_the_record_follows_its_schema(run_pytest, sine):
    record = run_pytest(sine.name, "--microtvm-board=qemu_x86", status=0).records[0]
    schema = json.loads(SCHEMA.read_text())["properties"]["records"]["items"]
    assert set(schema["required"]) <= set(record) <= set(schema["properties"])
    steps = schema["properties"]["timings_s"]["required"]
    assert sorted(record["timings_s"]) == sorted(steps)
    assert record["timings_s"]["open"] > 0
    assert record["timings_s"]["run"] > 0
    assert record["timings_s"]["close"] > 0
    for name in ("flash_bytes", "ram_bytes", "arena_bytes", "latency_us"):
        metric = record["metrics"][name]
        assert sorted(metric) == ["samples", "source", "unit", "value"]
        assert metric["value"] > 0


def test_hooks_hear_of_records_and_add_boards(run_pytest, workspace, sine):
    source = (MODELS.parents[1] / "boards" / "host.toml").read_text()
    (workspace / "more").mkdir()
    (workspace / "more" / "desk.toml").write_text(source.replace('name = "host"', 'name = "desk"'))
    (workspace / "conftest.py").write_text(
        "from pathlib import Path\n"
        "def pytest_microtvm_board_directories(config):\n"
        "    return [Path('more')]\n"
        "def pytest_microtvm_record(config, record):\n"
        "    print('HEARD', record['board'], record['outcome'])\n"
    )
    outcome = run_pytest("-s", sine.name, "--microtvm-board=desk", status=0)
    assert outcome.lines("HEARD desk passed")


def test_workers_of_xdist_report_to_one_file(run_pytest, sine, two_outputs):
    outcome = run_pytest(
        "-n2", sine.name, two_outputs.name, "--microtvm-board=host,qemu_x86", status=0
    )
    assert "4 passed" in outcome.summary
    assert len(outcome.records) == 4
    assert {record["outcome"] for record in outcome.records} == {"passed"}
    assert all(record["timings_s"]["close"] > 0 for record in outcome.records)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_folder_outside_of_the_project(run_pytest, workspace, workers):
    folder = workspace.parent / "models" / "deeper"
    folder.mkdir(parents=True)
    shutil.copy(MODELS / "sine_int8.tflite", folder)
    outcome = run_pytest(f"-n{workers}", "../models", "--microtvm-board=host", status=0)
    assert "1 passed" in outcome.summary
    assert [Path(record["model"]).name for record in outcome.records] == ["sine_int8.tflite"]


@pytest.mark.parametrize("workers", [0, 2])
def test_models_of_one_name_outside_of_the_project(run_pytest, workspace, workers):
    sound, broken = (workspace.parent / name / "net.tflite" for name in ("sound", "broken"))
    for model in (sound, broken):
        model.parent.mkdir()
    shutil.copy(MODELS / "sine_int8.tflite", sound)
    broken.write_bytes(b"no model")
    root = f"--rootdir={workspace}"  # else it is the folder above of all that is named
    outcome = run_pytest("-rA", root, f"-n{workers}", sound, broken, "--microtvm-board=host")
    assert "1 passed, 1 error" in outcome.summary
    assert {record["model"]: record["outcome"] for record in outcome.records} == {
        sound.as_posix(): "passed",
        broken.as_posix(): "error",
    }
    assert outcome.lines(f"PASSED {sound.as_posix()}::aot[host]")
    assert outcome.lines(f"ERROR {broken.as_posix()}::aot[host]")
    rows = [line.split()[:2] for line in outcome.output.splitlines()]
    assert ["sound/net.tflite", "passed"] in rows
    assert ["broken/net.tflite", "error"] in rows
    again = run_pytest(root, f"{sound}::aot[host]", "--microtvm-board=host")
    assert "1 passed" in again.summary


def test_the_shape_of_an_open_input_is_an_option(run_pytest, workspace):
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3]) for n in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "graph", values[:1], values[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (workspace / "open.onnx").write_bytes(model.SerializeToString())
    arguments = ("open.onnx", "--microtvm-board=host")
    outcome = run_pytest(*arguments, "--microtvm-input-shapes=x:[2,3]", status=0)
    assert outcome.records[0]["elements"] == 6
    outcome = run_pytest(*arguments, "--microtvm-input-shapes=x")
    assert "is no shape of an input" in outcome.output


def test_the_signature_of_a_model_is_an_option(run_pytest, workspace):
    (workspace / "both.tflite").write_bytes(two_signatures().to_bytes())
    arguments = ("both.tflite", "--microtvm-board=host")
    outcome = run_pytest(*arguments, "--microtvm-signature=product", status=0)
    assert outcome.records[0]["elements"] == 1
    outcome = run_pytest(*arguments, "--microtvm-signature=other")
    assert "the model has no signature 'other'; name one of 'sum', 'product'" in outcome.output
