"""PyTorch programs; all but the messages need PyTorch, which is no dependency of the tests."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.native import NativeModel

INSTALL = "pip install 'pytest-microtvm[torch]'"


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason=f"PyTorch is not installed: {INSTALL}")


def agree(torch: Any, model: Any, sources: list[Any], folder: Path, **export: Any) -> NativeModel:
    """Export a model to a file, compile that, and compare what both compute."""
    model = model.eval()
    program = torch.export.export(model, tuple(sources), **export)
    torch.export.save(program, str(folder / "model.pt2"))
    native = NativeModel(compile_to_files(folder / "model.pt2"), folder)
    expected = model(*sources)
    expected = expected if isinstance(expected, tuple) else (expected,)
    results = native(*(source.numpy() for source in sources))
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, wanted.detach().numpy(), rtol=1e-5, atol=1e-5)
    return native


@pytest.mark.filterwarnings("ignore")
def test_a_network_of_images(torch: Any, tmp_path: Path):
    nn = torch.nn
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 3),
        nn.Softmax(-1),
    )
    native = agree(torch, network, [torch.randn(1, 1, 6, 4)], tmp_path)
    assert [spec.name for spec in native.library.inputs] == ["input"]


@pytest.mark.filterwarnings("ignore")
def test_attention(torch: Any, tmp_path: Path):
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    agree(torch, layer, [torch.randn(1, 6, 8)], tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_quantization_stays_integer(torch: Any, tmp_path: Path):
    # Registers the operators.
    importlib.import_module("torch.ao.quantization.fx._decomposed")

    class Quantized(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("w", torch.randint(-127, 127, (3, 4), dtype=torch.int8))
            self.register_buffer("scales", torch.rand(3) * 0.01 + 0.01)
            self.register_buffer("zeros", torch.zeros(3, dtype=torch.int64))

        def forward(self, x: Any) -> Any:
            operators = torch.ops.quantized_decomposed
            kind = (-128, 127, torch.int8)
            x = operators.quantize_per_tensor(x, 0.05, 3, *kind)
            x = operators.dequantize_per_tensor(x, 0.05, 3, *kind)
            w = operators.dequantize_per_channel(
                self.w, self.scales, self.zeros, 0, -127, 127, torch.int8
            )
            y = operators.quantize_per_tensor(torch.nn.functional.linear(x, w), 0.1, -5, *kind)
            return operators.dequantize_per_tensor(y, 0.1, -5, *kind)

    native = agree(torch, Quantized(), [torch.randn(2, 4)], tmp_path)
    assert native.library.float_operators is None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("shapes", "rows"), [({}, 1), ({"input": (2, 4)}, 2)])
def test_an_open_batch(torch: Any, shapes: Any, rows: int, tmp_path: Path):
    batch = torch.export.Dim("batch", max=64)
    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    program = torch.export.export(network, (torch.randn(3, 4),), dynamic_shapes=({0: batch},))
    files = compile_to_files(program, CompileOptions(input_shapes=shapes))
    source = torch.randn(rows, 4)
    [result] = NativeModel(files, tmp_path)(source.numpy())
    np.testing.assert_allclose(result, network(source).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_what_is_no_program_is_refused(torch: Any, tmp_path: Path):
    path = tmp_path / "model.pt2"
    path.write_bytes(b"no program")
    with pytest.raises(ModelError, match=r"not a program of torch\.export.*export\.save"):
        compile_to_files(path)


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "model.pt2"
    path.write_bytes(b"PK")
    with pytest.raises(ModelError) as caught:
        compile_to_files(path)
    assert INSTALL in str(caught.value)


@pytest.mark.parametrize("suffix", ["keras", "h5", "Keras"])
def test_keras_models_are_told_how_to_become_tflite(suffix: str, tmp_path: Path):
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(b"any")
    with pytest.raises(ModelError, match=r"TFLiteConverter\.from_keras_model"):
        compile_to_files(path)
