"""PyTorch programs; all but the messages need PyTorch."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.torch.agreement import agree

pytestmark = pytest.mark.filterwarnings("ignore")


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


def test_attention(torch: Any, tmp_path: Path):
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    agree(torch, layer, [torch.randn(1, 6, 8)], tmp_path)


def test_quantization_stays_integer(torch: Any, tmp_path: Path):
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


@pytest.mark.parametrize(("shapes", "rows"), [({}, 1), ({"input": (2, 4)}, 2)])
def test_an_open_batch(torch: Any, shapes: Any, rows: int, tmp_path: Path):
    batch = torch.export.Dim("batch", max=64)
    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    program = torch.export.export(network, (torch.randn(3, 4),), dynamic_shapes=({0: batch},))
    files = compile_to_files(program, CompileOptions(input_shapes=shapes))
    source = torch.randn(rows, 4)
    [result] = NativeModel(files, tmp_path)(source.numpy())
    np.testing.assert_allclose(result, network(source).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_buffers_that_change_are_kept_from_run_to_run(torch: Any, tmp_path: Path):
    class Stream(torch.nn.Module):  # type: ignore[misc]
        hidden: Any

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("ring", torch.zeros(1, 3, 2))
            self.register_buffer("hidden", torch.ones(1, 4), persistent=False)
            self.register_buffer("count", torch.zeros((), dtype=torch.int64))
            self.layer = torch.nn.Linear(8, 4)

        def forward(self, x: Any) -> Any:
            self.count += 1  # no output depends on it
            frames = torch.cat([self.ring, x], 1)
            self.ring.copy_(frames[:, 1:])
            self.hidden = torch.tanh(self.layer(frames.flatten(1)) + 0.5 * self.hidden)
            return self.hidden * 2

    model = Stream()
    program = torch.export.export(model, (torch.randn(1, 1, 2),))
    native = NativeModel(compile_to_files(program), tmp_path, ["-O0"])
    states = native.library.states
    assert sorted(spec.tensor.name for spec in states) == ["hidden", "ring"]
    for _ in range(2):
        reference = copy.deepcopy(model)
        assert native.reset() == 0
        for _ in range(4):
            frame = torch.randn(1, 1, 2)
            [result] = native(frame.numpy())
            with torch.no_grad():
                wanted = reference(frame).numpy()
            np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-6)


def test_a_dependent_size_follows_from_the_one_that_is_given(torch: Any, tmp_path: Path):
    class Both(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any, y: Any) -> Any:
            return torch.cat([x, y[::2]])

    rows = torch.export.Dim("rows", min=2, max=64)
    program = torch.export.export(
        Both(), (torch.randn(4, 3), torch.randn(8, 3)), dynamic_shapes=({0: rows}, {0: 2 * rows})
    )
    files = compile_to_files(program, CompileOptions(input_shapes={"y": (6, 3)}))
    library = NativeModel(files, tmp_path, ["-O0"]).library
    assert [spec.shape for spec in library.inputs] == [(3, 3), (6, 3)]
