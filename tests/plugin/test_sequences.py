"""Models with states: sequences of inputs, all executors, and what a mismatch says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.plugin.running import RunPytest
from tests.unit.compiler.tflite_models import Model, Operator, Tensor, exchanged, running_sum


@pytest.fixture
def models(workspace: Path) -> Path:
    (workspace / "sum.tflite").write_bytes(running_sum().to_bytes())
    (workspace / "exchanged.tflite").write_bytes(exchanged().to_bytes())
    return workspace


def test_all_executors_keep_the_states_of_litert(run_pytest: RunPytest, models: Path) -> None:
    outcome = run_pytest(
        *("sum.tflite", "exchanged.tflite", "--microtvm-board=host"),
        *("--microtvm-executor=aot,graph,host_driven", "--microtvm-reference=litert"),
        status=0,
    )
    assert "6 passed" in outcome.summary
    assert {record["elements"] for record in outcome.records or []} == {20 * 3, 20 * 6}


def test_a_board_keeps_them_too(run_pytest: RunPytest, models: Path) -> None:
    executors = "--microtvm-executor=aot,graph,host_driven"
    run_pytest("exchanged.tflite", "--microtvm-board=mps2_an386", executors, status=0)


def test_a_test_begins_with_the_initial_state(run_pytest: RunPytest, models: Path) -> None:
    (models / "test_it.py").write_text(
        "import numpy as np\n"
        "import pytest\n"
        "pytestmark = pytest.mark.microtvm_model('sum.tflite')\n"
        "ONES = np.ones(3, np.float32)\n"
        "@pytest.mark.parametrize('again', [1, 2])\n"
        "def test_runs_go_on(microtvm, again):\n"
        "    assert list(microtvm.run(ONES)['after']) == [2, 3, 4]\n"
        "    assert list(microtvm.run(ONES)['after']) == [3, 4, 5]\n"
        "    microtvm.reset()\n"
        "    assert list(microtvm.run(ONES)['after']) == [2, 3, 4]\n"
        "def test_a_sequence(microtvm):\n"
        "    outputs = microtvm.run_sequence(np.ones((4, 3), np.float32))\n"
        "    assert outputs['after'][:, 0].tolist() == [2, 3, 4, 5]\n"
        "    microtvm.check(np.ones((4, 3), np.float32))\n"
    )
    executors = "--microtvm-executor=aot,graph,host_driven"
    outcome = run_pytest("test_it.py", "--microtvm-board=host", executors, status=0)
    assert "9 passed" in outcome.summary


def test_a_mismatch_names_the_step(run_pytest: RunPytest, models: Path) -> None:
    x = np.zeros((4, 3), np.float32)
    expected = np.tile(np.array([1, 2, 3], np.float32), (4, 1))
    expected[2, 1] += 0.5
    np.savez(models / "inputs.npz", x=x)
    np.savez(models / "outputs.npz", after=expected)
    outcome = run_pytest(
        *("sum.tflite", "--microtvm-board=host", "--microtvm-inputs=inputs.npz"),
        "--microtvm-reference=outputs.npz",
        status=1,
    )
    assert outcome.lines("step 2 [1] device 2, reference 2.5")
    assert "1 of 12 elements" in outcome.output


def test_arrays_without_steps_are_refused(run_pytest: RunPytest, models: Path) -> None:
    np.savez(models / "inputs.npz", x=np.float32(1))
    outcome = run_pytest(
        "sum.tflite", "--microtvm-board=host", "--microtvm-inputs=inputs.npz", status=1
    )
    assert outcome.lines("give each array the steps as first dimension")


FAILING = """
import numpy as np
from pytest_microtvm import CustomOperator

FAIL = CustomOperator(
    name="Fail",
    shapes=lambda call: [call.inputs[0].shape],
    code=lambda call: "abort_at(input0[0]); output[0] = output1[0] = input0[0] + input1[0];",
    files=["fail.h"],
    states=lambda call: [np.zeros(1, np.float32)],
)
"""


def test_a_crash_names_the_step(run_pytest: RunPytest, workspace: Path) -> None:
    """The next test begins with the initial state, on a device that was opened anew."""
    tensors = [Tensor("x", [1]), Tensor("y", [1])]
    model = Model(tensors, [Operator("CUSTOM Fail", [0], [1])], [0], [1])
    (workspace / "fail.tflite").write_bytes(model.to_bytes())
    (workspace / "operators.py").write_text(FAILING)
    (workspace / "fail.h").write_text(
        "#include <stdlib.h>\n"
        "static void abort_at(float x) {\n  if (x > 9.0f) {\n    abort();\n  }\n}\n"
    )
    (workspace / "test_it.py").write_text(
        "import numpy as np\n"
        "import pytest\n"
        "pytestmark = pytest.mark.microtvm_model('fail.tflite')\n"
        "def test_crash(microtvm):\n"
        "    microtvm.run_sequence(np.array([[1], [2], [10], [3]], np.float32))\n"
        "def test_next(microtvm):\n"
        "    assert microtvm.run(np.ones(1, np.float32))['y'] == 1\n"
    )
    outcome = run_pytest(
        *("test_it.py", "--microtvm-board=host", "--microtvm-custom-operators=operators.py"),
        status=1,
    )
    assert outcome.lines("(during call microtvm.model.run, step 2)")
    assert "1 passed, 1 error" in outcome.summary
