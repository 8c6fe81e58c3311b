"""Operators of PyTorch, many of them in one program, held to PyTorch; all need it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.torch.agreement import compare

pytestmark = pytest.mark.filterwarnings("ignore")


def _agree(torch: Any, folder: Path, sources: list[Any], functions: list[Any]) -> None:
    """Functions of the same inputs as one program."""

    class All(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            layers = [each for each in functions if isinstance(each, torch.nn.Module)]
            self.layers = torch.nn.ModuleList(layers)

        def forward(self, *given: Any) -> Any:
            made = [each(*given) for each in functions]
            return tuple(tuple(each) if isinstance(each, tuple) else each for each in made)

    model = All().eval()
    program = torch.export.export(model, tuple(sources))
    native = NativeModel(compile_to_files(program), folder, ["-O0"])
    with torch.no_grad():
        compare(native, sources, model(*sources))


def test_elements_are_taken_where_python_says(torch: Any, tmp_path: Path):
    def written(change: Callable[[Any], None]) -> Callable[[Any, Any], Any]:
        def run(x: Any, places: Any) -> Any:
            copy = x.clone()
            change(copy)
            return copy

        return run

    def put(x: Any) -> None:
        x[..., [0, 2]] *= 2

    def put_steps(x: Any) -> None:
        x[:, ::2] += 1

    def put_last(x: Any) -> None:
        x[..., -1] = 2

    def put_negative(x: Any) -> None:
        x[x < 0] = 0

    _agree(
        torch,
        tmp_path,
        [torch.randn(3, 4, 5), torch.tensor([-1, 0])],
        [
            lambda x, k: x[..., -1],
            lambda x, k: x[:, -3:-1, ::2],
            lambda x, k: x[:, [-1, 0]],
            lambda x, k: x[k],
            lambda x, k: x[:, k],
            lambda x, k: x[[0, 1], :, [1, 2]],
            lambda x, k: x[:, [0, 1], [1, 2]],
            lambda x, k: torch.index_put(x, (k,), torch.ones(2, 4, 5)),
            lambda x, k: torch.ops.aten.index_put(x, [None, k], torch.ones(3, 2, 5), True),
            lambda x, k: x.gather(1, torch.tensor([[[0, 3, 1, 2, 0]]])),
            lambda x, k: x.scatter_reduce(
                1, torch.tensor([[[0, 1, 2, 3, 0]] * 2]), torch.ones(1, 2, 5), "mean"
            ),
            lambda x, k: x.as_strided((2, 3), (3, 1), 2),
            lambda x, k: x.unfold(1, 3, 1),
            lambda x, k: x.roll((1, -2), (0, 2)),
            *(written(each) for each in (put, put_steps, put_last, put_negative)),
        ],
    )


def test_numbers_are_as_pytorch_computes_them(torch: Any, tmp_path: Path):
    _agree(
        torch,
        tmp_path,
        [torch.randn(3, 4, 5), torch.randint(-9, 9, (3, 4, 5))],
        [
            lambda x, i: x % -3.0,
            lambda x, i: i % -3,
            lambda x, i: torch.div(x * 5, 0.7, rounding_mode="floor"),
            lambda x, i: torch.div(i, -2, rounding_mode="trunc"),
            lambda x, i: i // -2,
            lambda x, i: i / 2,
            lambda x, i: x + i,
            lambda x, i: i < x,
            lambda x, i: i**3,
            lambda x, i: i.clamp(-2.5, 3.5),
            lambda x, i: torch.signbit(x),
            lambda x, i: i.sum(1),
            lambda x, i: i.to(torch.int8) * 30,
            lambda x, i: x.var(1, correction=0),
            lambda x, i: torch.var_mean(x, 2),
            lambda x, i: x.median(1),
            lambda x, i: i.max(1),
            lambda x, i: (i > 0).all(2),
            lambda x, i: x.sort(1, descending=True),
            lambda x, i: x.topk(2, 1, largest=False),
            lambda x, i: x.cummax(1),
            lambda x, i: torch.nn.functional.softplus(x * 40),
        ],
    )


def test_layers_with_their_options(torch: Any, tmp_path: Path):
    nn = torch.nn
    _agree(
        torch,
        tmp_path,
        [torch.randn(1, 4, 9, 11)],
        [
            nn.Conv2d(4, 6, 2, padding="same", dilation=2),
            nn.Conv2d(4, 3, 3, padding=1, padding_mode="circular"),
            nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1, groups=2),
            nn.MaxPool2d(3, 2, padding=1, ceil_mode=True, return_indices=True),
            nn.AvgPool2d(3, 2, padding=1, ceil_mode=True),
            nn.AvgPool2d(3, 2, divisor_override=5),
            nn.AdaptiveAvgPool2d((4, 5)),
            nn.AdaptiveMaxPool2d(4),
            nn.GroupNorm(2, 4),
            nn.GroupNorm(1, 4, affine=False),
            lambda x: nn.functional.interpolate(x, scale_factor=1.7, mode="bilinear"),
            lambda x: nn.functional.interpolate(x, size=(13, 7), mode="nearest"),
            lambda x: nn.functional.grid_sample(x, x[:, :2].permute(0, 2, 3, 1)),
        ],
    )


def test_recurrent_layers_are_loops(torch: Any, tmp_path: Path):
    nn = torch.nn
    layers = [
        nn.LSTM(5, 4, num_layers=2, bidirectional=True, batch_first=True),
        nn.GRU(5, 4, bias=False),
        nn.RNN(5, 4, nonlinearity="relu"),
        nn.LSTM(5, 4, proj_size=2),
    ]
    _agree(
        torch,
        tmp_path,
        [torch.randn(2, 9, 5)],
        [*layers, lambda x: layers[1](x, torch.ones(1, 9, 4))[0][:, -1]],
    )


def test_branches_and_loops(torch: Any, tmp_path: Path):
    from torch._higher_order_ops.while_loop import while_loop

    def branch(x: Any) -> Any:
        return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x * 2, (x,))

    def loop(x: Any) -> Any:
        start = (torch.tensor(0), x)
        return while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x * 2), start)

    _agree(torch, tmp_path, [torch.randn(3, 4)], [branch, loop])


def test_a_convolution_over_one_axis_stays_integer(torch: Any, tmp_path: Path):
    class Quantized(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("w", torch.randint(-127, 127, (3, 4, 3), dtype=torch.int8))
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
            x = torch.nn.functional.relu(torch.nn.functional.conv1d(x, w, padding=1))
            x = operators.quantize_per_tensor(x, 0.1, -128, *kind)
            x = operators.dequantize_per_tensor(x, 0.1, -128, *kind)
            x = torch.nn.functional.max_pool1d(x, 2)
            x = operators.quantize_per_tensor(x, 0.1, -128, *kind)
            return operators.dequantize_per_tensor(x, 0.1, -128, *kind)

    model, source = Quantized(), torch.randn(1, 4, 12)
    program = torch.export.export(model, (source,))
    native = NativeModel(compile_to_files(program), tmp_path, ["-O0"])
    assert native.library.float_operators is None
    compare(native, [source], model(source))


def test_all_that_is_refused_is_told_at_once(torch: Any):
    class Refused(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            waves = torch.view_as_real(torch.complex(x, x))
            return torch.digamma(x), torch.rand_like(x), x[x > 0], x + 1, waves

    program = torch.export.export(Refused(), (torch.randn(3),))
    with pytest.raises(ModelError) as caught:
        compile_to_files(program)
    said = str(caught.value)
    assert "the operator digamma (at 'digamma'): it is not supported" in said
    assert "it is random" in said
    assert "its result is of complex64, which C has no type for" in said
    assert "the size of its result is computed at run time" in said


def test_a_program_in_training_mode_is_not_taken_for_one_in_evaluation(torch: Any, tmp_path: Path):
    layer = torch.nn.BatchNorm1d(4)
    source = torch.randn(5, 4) * 3 + 1
    program = torch.export.export(layer.train(), (source,))
    native = NativeModel(compile_to_files(program), tmp_path, ["-O0"])
    assert not native.library.states  # no output depends on the means that it keeps
    with torch.no_grad():
        compare(native, [source], layer(source))
    program = torch.export.export(torch.nn.Dropout().train(), (source,))
    with pytest.raises(ModelError, match=r"random.*model\.eval"):
        compile_to_files(program)
