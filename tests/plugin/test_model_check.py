"""A model that the compiler reads wrongly fails, though the device does what the host does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.plugin.running import RunPytest
from tests.unit.compiler.tflite_models import Model, Operator, Tensor, fully_connected

# The compiler gets another file than the interpreter: as if it read this one wrongly.
MISREADING = """
from pytest_microtvm.flow import workshop

right = workshop.compile_model

def compile_model(model, *arguments, **options):
    right(model.with_name("misread.bin") / model.name, *arguments, **options)

workshop.compile_model = compile_model
"""


def net(factor: float) -> bytes:
    """Three layers; `factor` scales the weights of the second."""
    weights = np.arange(16, dtype=np.float32).reshape(4, 4) - 5
    tensors = [Tensor("x", [1, 4])]
    operators = []
    for position, (name, scale) in enumerate((("one", 1.0), ("two", factor), ("y", 1.0))):
        tensors += [Tensor(f"w{position}", [4, 4], data=weights * scale), Tensor(name, [1, 4])]
        operators.append(fully_connected([2 * position, 2 * position + 1], 2 * position + 2))
    return Model(tensors, operators, [0], [6]).to_bytes()


@pytest.fixture
def misread(workspace: Path) -> Path:
    pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")
    (workspace / "net.tflite").write_bytes(net(2.0))
    (workspace / "misread.bin").mkdir()
    (workspace / "misread.bin" / "net.tflite").write_bytes(net(3.0))
    (workspace / "conftest.py").write_text(MISREADING)
    (workspace / "test_it.py").write_text(
        "import pytest\n"
        'pytestmark = pytest.mark.microtvm_model("net.tflite")\n'
        "def test_check(microtvm): microtvm.check()\n"
        "def test_run(microtvm): microtvm.run()\n"
    )
    return workspace


def test_a_misread_model_fails_and_its_first_layer_is_named(
    run_pytest: RunPytest, misread: Path, tmp_path: Path
) -> None:
    for _ in ("cold", "warm"):
        outcome = run_pytest(
            "net.tflite", "test_it.py", "--microtvm-board=host", cache=tmp_path / "cache", status=1
        )
        assert outcome.lines("3 failed")
        assert outcome.lines("net.tflite: the compiled model differs from LiteRT")
        assert outcome.lines("first layer that differs: FULLY_CONNECTED 'two'")
        assert "Traceback" not in outcome.output
        for record in outcome.records or []:
            assert record["model_check"].startswith("differs by ")
            assert record["outcome"] == "failed"
            assert record["error"].startswith("net.tflite: the compiled model differs from LiteRT")


def test_the_check_can_be_left_out(run_pytest: RunPytest, misread: Path, tmp_path: Path) -> None:
    for left_out in (["--microtvm-no-model-check"], ["-o", "microtvm_model_check=false"]):
        arguments = ("net.tflite", "--microtvm-board=host", *left_out)
        outcome = run_pytest(*arguments, cache=tmp_path / "cache", status=0)
        [record] = outcome.records or []
        assert record["model_check"] == "not checked"


def test_a_model_that_is_read_rightly_is_exact(run_pytest: RunPytest, misread: Path) -> None:
    (misread / "conftest.py").unlink()
    outcome = run_pytest("net.tflite", "--microtvm-board=host", status=0)
    [record] = outcome.records or []
    assert record["model_check"] == "exact"


def test_the_kernels_that_are_asked_in_place_of_wrong_ones_are_told(
    run_pytest: RunPytest, workspace: Path
) -> None:
    """ELU has no reference kernel in LiteRT."""
    pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")
    tensors = [Tensor("x", [3]), Tensor("y", [3])]
    model = Model(tensors, [Operator("ELU", [0], [1])], [0], [1])
    (workspace / "elu.tflite").write_bytes(model.to_bytes())
    outcome = run_pytest("elu.tflite", "-v", "--microtvm-board=host", status=0)
    (line,) = outcome.lines("elu.tflite is held to LiteRT")
    assert line.endswith("optimized kernels, as some operators have no reference kernel")
