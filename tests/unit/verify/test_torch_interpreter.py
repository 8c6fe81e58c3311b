"""PyTorch as the interpreter of its exported programs; needs it, which CI has not."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.mlf.library import ModelLibrary, TensorSpec
from pytest_microtvm.verify.interpreters import Interpreted, run_interpreter

pytestmark = pytest.mark.filterwarnings("ignore")
TIMEOUT_S = 120.0


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip(
        "torch", reason="PyTorch is not installed: pip install 'pytest-microtvm[torch]'"
    )


def interpret(torch: Any, folder: Path, model: Any, examples: Any, **inputs: Any) -> Interpreted:
    path = folder / "net.pt2"
    torch.export.save(torch.export.export(model.eval(), **examples), str(path))
    given = tuple(
        TensorSpec(name, each.shape, str(each.dtype), each.nbytes) for name, each in inputs.items()
    )
    outputs = (TensorSpec("y", (1, 2), "float32", 8),)
    about: dict[str, Any] = {"modules": {"m": {}}}
    library = ModelLibrary(Path("m.tar"), "m", given, outputs, 0, 0, ("aot",), "", about)
    return run_interpreter(path, library, inputs, Deadline(TIMEOUT_S), layers=True)


def test_a_program_runs_and_tells_its_layers(torch: Any, tmp_path: Path):
    class Scaled(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any, factor: float, *, offset: Any) -> Any:
            return torch.relu(x * factor + offset["by"])

    first, second = torch.zeros(1, 2), torch.zeros(1, 2)
    examples = {"args": (first, 3.0), "kwargs": {"offset": {"by": second}}}
    found = interpret(
        torch, tmp_path, Scaled(), examples,
        x=np.array([[2, -4]], np.float32), offset=np.array([[0.5, 20]], np.float32),
    )  # fmt: skip
    assert found.title.startswith("PyTorch ")
    assert np.asarray(found.outputs["y"]).tolist() == [[6.5, 8]]
    assert [each.kind for each in found.layers] == [
        "aten.mul.Tensor", "aten.add.Tensor", "aten.relu.default"
    ]  # fmt: skip
    assert [each.inputs for each in found.layers] == [(), (0,), (1,)]
    np.testing.assert_array_equal(found.layers[0].outputs[0], [[6, -12]])
    assert (found.is_optimized, found.is_half, found.steps) == (False, False, (0.0,))


def test_halves_are_given_and_told_as_float32(torch: Any, tmp_path: Path):
    model = torch.nn.Linear(2, 2, bias=False).half()
    model.weight.data[...] = torch.eye(2)
    examples = {"args": (torch.zeros(1, 2, dtype=torch.float16),)}
    found = interpret(torch, tmp_path, model, examples, x=np.array([[1, 1 / 3]], np.float32))
    np.testing.assert_array_equal(found.outputs["y"], [[1, np.float16(1 / 3)]])
    assert found.is_half


def test_the_step_of_a_quantized_output_is_told(torch: Any, tmp_path: Path):
    importlib.import_module("torch.ao.quantization.fx._decomposed")

    class Quantized(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            operators, kind = torch.ops.quantized_decomposed, (-128, 127, torch.int8)
            x = operators.quantize_per_tensor(x, 0.25, 3, *kind)
            return operators.dequantize_per_tensor(x, 0.25, 3, *kind)

    examples = {"args": (torch.zeros(1, 2),)}
    found = interpret(torch, tmp_path, Quantized(), examples, x=np.array([[1, 0.3]], np.float32))
    assert np.asarray(found.outputs["y"]).tolist() == [[1, 0.25]]
    assert (found.is_optimized, found.steps) == (True, (0.25,))


def test_biases_are_held_as_integers_hold_them(torch: Any, tmp_path: Path):
    importlib.import_module("torch.ao.quantization.fx._decomposed")

    class Quantized(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("w", torch.tensor([[2], [3]], dtype=torch.int8))
            self.bias = torch.nn.Parameter(torch.tensor([0.4, 0.6]))

        def forward(self, x: Any) -> Any:
            operators, kind = torch.ops.quantized_decomposed, (-128, 127, torch.int8)
            x = operators.quantize_per_tensor(x, 1.0, 0, *kind)
            x = operators.dequantize_per_tensor(x, 1.0, 0, *kind)
            w = operators.dequantize_per_tensor(self.w, 1.0, 0, *kind)
            y = torch.nn.functional.linear(x, w, self.bias)
            return operators.dequantize_per_tensor(
                operators.quantize_per_tensor(y, 0.25, 0, *kind), 0.25, 0, *kind
            )

    examples = {"args": (torch.zeros(1, 1),)}
    found = interpret(torch, tmp_path, Quantized(), examples, x=np.array([[5]], np.float32))
    [output] = found.outputs.values()
    assert output.tolist() == [[10.0, 16.0]]
