"""Three executors of one MLF, and what their outputs are compared with."""

import shutil
import subprocess
import sys

import pytest

from tests.plugin.running import MODELS

EXECUTORS = ("aot", "graph", "host_driven")


@pytest.fixture
def models(workspace):
    for name in ("sine_int8", "motion_float32", "keyword_int8"):
        shutil.copy(MODELS / f"{name}.tflite", workspace)
    return workspace


def test_every_executor_is_a_test_and_passes(run_pytest, models):
    outcome = run_pytest(
        "-rA",
        "sine_int8.tflite",
        "motion_float32.tflite",
        "--microtvm-board=qemu_x86",
        "--microtvm-executor=aot,graph,host_driven",
        status=0,
    )
    for executor in EXECUTORS:
        assert outcome.lines(f"PASSED sine_int8.tflite::{executor}[qemu_x86]")
    assert [record["executor"] for record in outcome.records] == [*EXECUTORS, *EXECUTORS]
    assert len({record["build_id"] for record in outcome.records}) == 6
    # Compiled once for all three.
    assert len(outcome.lines("microtvm: compiling sine_int8.tflite")) <= 1


def test_all_executors_give_the_same_bytes(run_pytest, models):
    (models / "test_it.py").write_text(
        "import pytest\n"
        "seen = {}\n"
        '@pytest.mark.microtvm_model("motion_float32.tflite")\n'
        "def test_bytes(microtvm, microtvm_board, microtvm_executor):\n"
        "    outputs = microtvm.run()\n"
        "    data = {name: array.tobytes() for name, array in outputs.items()}\n"
        "    assert seen.setdefault(microtvm_board.name, data) == data\n"
    )
    outcome = run_pytest(
        "--microtvm-board=qemu_x86,host", "--microtvm-executor=aot,graph,host_driven", status=0
    )
    assert "6 passed" in outcome.summary


@pytest.mark.parametrize("reference", EXECUTORS)
def test_executors_are_held_to_each_other(run_pytest, models, reference):
    outcome = run_pytest(
        "motion_float32.tflite",
        "--microtvm-board=qemu_x86",
        f"--microtvm-reference={reference}",
        status=0,
    )
    [record] = outcome.records
    assert (record["executor"], record["reference"]) == ("aot", reference)
    assert (record["elements"], record["max_abs_diff"]) == (4, 0.0)


def write_outputs(workspace, value):
    script = f"import numpy as np; np.savez('out.npz', y=np.full((1, 1), {value}, 'int8'))"
    subprocess.run([sys.executable, "-c", script], cwd=workspace, check=True, timeout=60)


def test_outputs_can_be_held_to_a_file(run_pytest, models):
    (models / "test_it.py").write_text(
        "import pytest\n"
        '@pytest.mark.microtvm_model("sine_int8.tflite")\n'
        "def test_it(microtvm):\n"
        "    print('VALUE', int(microtvm.run()['y'].item()))\n"
    )
    outcome = run_pytest("-s", "test_it.py", "--microtvm-board=host", status=0)
    [line] = outcome.lines("VALUE ")
    right = int(line.split("VALUE ")[1])
    arguments = ("sine_int8.tflite", "--microtvm-board=host", "--microtvm-reference=out.npz")
    write_outputs(models, right)
    run_pytest(*arguments, status=0)
    write_outputs(models, right - 1)
    outcome = run_pytest(*arguments, status=1)
    assert outcome.lines("device differs from out.npz in 1 of 1 elements")
    assert outcome.lines("kernel by kernel")
    assert outcome.lines(
        "look for the cause in what the compiler made of the model, which both run, or in out.npz"
    )


def test_litert_is_a_reference(run_pytest, models):
    pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")
    outcome = run_pytest(
        "motion_float32.tflite", "--microtvm-board=host", "--microtvm-reference=litert", status=0
    )
    [record] = outcome.records
    assert record["elements"] == 4


def test_litert_needs_a_tflite_model(run_pytest, models):
    run_pytest("sine_int8.tflite", "--microtvm-board=host", "--microtvm-keep-projects", status=0)
    project = models / "microtvm_projects" / "sine_int8-aot-host"
    shutil.copy(project / "model.tar", models / "sine.tar")
    outcome = run_pytest("sine.tar", "--microtvm-board=host", "--microtvm-reference=litert")
    assert outcome.status == 1
    assert outcome.lines("ConfigError: sine.tar is no TFLite model")


@pytest.mark.parametrize("reference", ["tflite", "none.npz"])
def test_an_unknown_reference_is_a_usage_error(run_pytest_inside, models, reference):
    outcome = run_pytest_inside(
        "sine_int8.tflite", "--microtvm-board=host", f"--microtvm-reference={reference}"
    )
    assert outcome.status == 4
    assert outcome.lines(reference)


def test_a_wrong_kernel_is_named(run_pytest, warm_cache, models):
    """The first kernel that differs on the board is in the report."""
    arguments = ("keyword_int8.tflite", "--microtvm-board=qemu_x86")
    cache, _ = warm_cache(*arguments, "--microtvm-executor=host_driven")
    from tests.plugin.test_errors import plant_wrong_weights

    for image in cache.glob("firmware/*/project/build/firmware.elf"):
        plant_wrong_weights(image)
    outcome = run_pytest(*arguments, "--microtvm-executor=host_driven", cache=cache, status=1)
    [line] = outcome.lines("first difference: node ")
    # The largest constant belongs to a convolution: what is before it is right.
    assert "tvmgen_keyword_int8_conv2d" in line
    assert " elements" in line


def test_a_kernel_can_be_called_through_tvms_own_session(run_pytest, models):
    (models / "test_it.py").write_text(
        "import numpy as np\n"
        "import pytest\n"
        '@pytest.mark.microtvm_model("sine_int8.tflite")\n'
        "def test_it(microtvm):\n"
        "    rpc = microtvm.session.rpc\n"
        "    import tvm\n"
        "    device = rpc.cpu(0)\n"
        "    array = tvm.runtime.empty((4,), 'float32', device)\n"
        "    array.copyfrom(np.arange(4, dtype='float32'))\n"
        "    assert array.numpy().tolist() == [0, 1, 2, 3]\n"
        "    assert rpc.get_function('microtvm.executor')() == 'host_driven'\n"
    )
    run_pytest("--microtvm-board=qemu_x86", "--microtvm-executor=host_driven", status=0)
