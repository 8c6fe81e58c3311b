"""Which channels of quantized networks go, which stay, and what an archive says of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.compiler.quantized.dead.network import Layer, Network, View
from pytest_microtvm.compiler.quantized.dead.removal import without_dead
from pytest_microtvm.compiler.quantized.specs import (
    Arithmetic,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Operand,
    Pool,
    Requantization,
    Rounding,
    Spec,
    Window,
)
from pytest_microtvm.extensions import EXTERNAL_KERNELS
from pytest_microtvm.mlf.library import ModelLibrary, open_library, write_library
from scripts.benchmarks.networks import person
from tests.operators.cases import Case, merged
from tests.unit.compiler import external_kernels
from tests.unit.compiler.tflite_models import Quantization

SIZE = 4
RNG = np.random.default_rng(0)
ALL = range(8)


def requantization(channels: int = 1, zero_point: int = -128) -> Requantization:
    multipliers = np.full(channels, 1 << 30, np.int32)
    shifts = np.full(channels, -7, np.int32)
    return Requantization(multipliers, shifts, Rounding.DOUBLE, zero_point, -128, 127)


def image(channels: int) -> tuple[int, int, int, int]:
    return (1, SIZE, SIZE, channels)


def weights(shape: tuple[int, ...], axis: int, dead: Any = (), unread: Any = ()) -> Any:
    values = RNG.integers(1, 127, shape).astype(np.int8)
    np.moveaxis(values, axis, 0)[list(dead)] = 0
    values[..., list(unread)] = 0
    return values


def conv(
    inputs: int,
    outputs: int,
    *,
    taps: int = 1,
    dead: Any = (),
    unread: Any = (),
    bias: int = 0,
    zero_point: int = -128,
) -> Conv2D:
    """A convolution with padding; the biases of dead channels are all the same."""
    biases = np.arange(outputs, dtype=np.int32)
    biases[list(dead)] = bias
    return Conv2D(
        image(inputs),
        image(outputs),
        Window((taps, taps), padding=(taps // 2, taps // 2)),
        weights((outputs, taps, taps, inputs), 0, dead, unread),
        biases,
        zero_point,
        requantization(outputs, zero_point),
    )


def depthwise(channels: int, *, dead: Any = (), zero_point: int = -128) -> DepthwiseConv2D:
    return DepthwiseConv2D(
        image(channels),
        image(channels),
        Window((3, 3), padding=(1, 1)),
        weights((3, 3, channels), 2, dead),
        np.zeros(channels, np.int32),
        zero_point,
        requantization(1, zero_point),
    )


def added() -> Arithmetic:
    operand = Operand(image(8), -128, 1 << 30, -1)
    return Arithmetic("add", image(8), (operand, operand), 20, requantization())


def chain(*specs: Any, fixed: tuple[int, ...] = ()) -> Network:
    """Layers one after the other; the first tensor and the last one are the model's."""
    layers = tuple(Layer(spec, (at,), at + 1) for at, spec in enumerate(specs))
    shapes = (specs[0].input_shape, *(spec.output_shape for spec in specs))
    return Network(shapes, layers, frozenset((0, len(specs), *fixed)))


def reduced(network: Network, *needing_all: Spec) -> Network:
    return without_dead(network, lambda spec: any(spec is each for each in needing_all))


def channels(network: Network) -> list[int]:
    return [shape[-1] for shape in network.shapes]


def test_channels_without_weights_go_and_their_value_is_in_the_bias():
    second = conv(8, 3)
    found = reduced(chain(conv(2, 8, dead=(1, 6), bias=1000), second))
    assert channels(found) == [2, 6, 3]
    spec: Any = found.layers[1].spec
    value = 1000 * 2.0**-8  # above the zero point
    folded = round(value) * second.weights[:, 0, 0, [1, 6]].astype(int).sum(axis=1)
    np.testing.assert_array_equal(spec.bias, second.bias + folded)


def test_channels_go_through_depthwise_layers_pools_and_views():
    pool = Pool("average", image(8), (1, 1, 1, 8), Window((SIZE, SIZE)), -128, 127)
    dense = FullyConnected(1, weights((5, 8), 0), 0, None, -128, requantization())
    layers = (
        Layer(conv(2, 8, dead=(0, 3)), (0,), 1),
        Layer(depthwise(8), (1,), 2),
        Layer(pool, (2,), 3),
        Layer(View(), (3,), 4),
        Layer(dense, (4,), 5),
    )
    shapes = (image(2), image(8), image(8), (1, 1, 1, 8), (1, 8), (1, 5))
    assert channels(reduced(Network(shapes, layers, frozenset((0, 5))))) == [2, 6, 6, 6, 6, 5]


@pytest.mark.parametrize(("value", "left"), [(0, 6), (1 << 20, 6), (40, 8)])
def test_a_padded_channel_goes_only_where_the_borders_are_as_the_rest(value: int, left: int):
    """Zero, or clamped everywhere: only what is between differs at the borders."""
    between, last = depthwise(8), conv(8, 3)
    between.weights[..., [1, 6]] = last.weights[..., [1, 6]] = 127
    found = reduced(chain(conv(2, 8, dead=(1, 6), bias=256 * value), between, last))
    assert channels(found) == [2, left, left, 3]


def test_a_padded_convolution_keeps_what_is_not_zero():
    zero = chain(conv(2, 8, dead=(1, 6)), conv(8, 3, taps=3))
    other = chain(conv(2, 8, dead=(1, 6), bias=4000), conv(8, 3, taps=3))
    assert channels(reduced(zero)) == [2, 6, 3]
    # Both are the same: one does the work of two, where its weights can be as great.
    second: Any = other.layers[1].spec
    second.weights[..., 6] = 1 - second.weights[..., 1]
    assert channels(reduced(other)) == [2, 7, 3]
    second.weights[..., [1, 6]] = 127
    assert channels(reduced(other)) == [2, 8, 3]


def test_what_nobody_reads_goes_and_what_made_only_that_goes_too():
    found = reduced(
        chain(conv(2, 8), conv(8, 8), depthwise(8), conv(8, 3, unread=(0, 1, 2, 3, 4, 5, 6)))
    )
    assert channels(found) == [2, 8, 1, 1, 3]
    first = conv(2, 8)
    second = conv(8, 8, unread=(2,))
    second.weights[1:, :, :, 5] = 0
    # Channel 5 is read by channel 0 alone, which nobody reads.
    assert channels(reduced(chain(first, second, conv(8, 3, unread=(0,))))) == [2, 6, 7, 3]


def test_equal_channels_become_one():
    first, last = conv(2, 8), conv(8, 3)
    first.weights[5] = first.weights[2]
    first = replace(first, bias=None)
    last.weights[..., [2, 5]] = 60
    between = depthwise(8)
    between.weights[..., 5] = between.weights[..., 2]
    found = reduced(chain(first, between, last))
    assert channels(found) == [2, 7, 7, 3]
    spec: Any = found.layers[2].spec
    assert (spec.weights[..., 2] == 120).all()
    between.weights[0, 0, 5] += 1 if between.weights[0, 0, 5] < 100 else -1
    assert channels(reduced(chain(first, between, last))) == [2, 8, 8, 3]


def test_a_sum_loses_a_channel_only_where_both_sides_do():
    def network(left: Any, right: Any) -> Network:
        layers = (
            Layer(conv(2, 8, dead=left), (0,), 1),
            Layer(conv(2, 8, dead=right), (0,), 2),
            Layer(added(), (1, 2), 3),
            Layer(conv(8, 3), (3,), 4),
        )
        shapes = (image(2), image(8), image(8), image(8), image(3))
        return Network(shapes, layers, frozenset((0, 4)))

    assert channels(reduced(network((1, 2, 5), (2, 5, 7)))) == [2, 6, 6, 6, 3]
    assert channels(reduced(network((1,), (7,)))) == [2, 8, 8, 8, 3]


def test_parts_of_a_concatenation_lose_channels_of_their_own():
    layers = (
        Layer(conv(2, 8, dead=(0, 1)), (0,), 1),
        Layer(conv(2, 4, dead=(3,)), (0,), 2),
        Layer(Concatenation(SIZE * SIZE, (8, 4), (None, None)), (1, 2), 3),
        Layer(conv(12, 3), (3,), 4),
    )
    shapes = (image(2), image(8), image(4), image(12), image(3))
    found = reduced(Network(shapes, layers, frozenset((0, 4))))
    assert channels(found) == [2, 6, 3, 9, 3]
    spec: Any = found.layers[2].spec
    assert spec.lengths == (6, 3)


def test_tensors_of_others_keep_their_channels():
    first, second = conv(2, 8, dead=(1,)), conv(8, 3, dead=(0,))
    assert channels(reduced(chain(first, second))) == [2, 7, 3]
    assert channels(reduced(chain(first, second, fixed=(1,)))) == [2, 8, 3]
    assert channels(reduced(chain(first, second), second)) == [2, 8, 3]
    assert channels(reduced(chain(first, second), first)) == [2, 8, 3]


def test_a_tensor_keeps_a_channel():
    found = reduced(chain(conv(2, 8, dead=ALL), depthwise(8), conv(8, 3)))
    assert channels(found) == [2, 1, 1, 3]
    assert channels(reduced(chain(conv(2, 8), depthwise(8, dead=ALL), conv(8, 3)))) == [2, 1, 1, 3]


def test_a_network_without_dead_channels_stays_as_it_is():
    network = chain(conv(2, 8), depthwise(8), conv(8, 3))
    assert reduced(network) is network


# Archives.


def model() -> bytes:
    """Three convolutions, with a pool before the last; half of the channels are dead."""
    case = Case("network", "dead")
    rng = np.random.default_rng(1)
    rectified = Quantization([0.02], [-128])
    case.inputs = [case.add([1, 6, 6, 3], "int8", Quantization([1 / 128], [0]))]
    source, size = case.inputs[0], 6
    for inputs, outputs in ((3, 8), (8, 8), (8, 4)):
        values = rng.integers(-127, 127, (outputs, 1, 1, inputs)).astype(np.int8)
        if outputs == 8:
            values[::2] = 0
        scale = Quantization([0.01], [0])
        kernel = case.add(values.shape, "int8", scale, values)
        bias = case.add([outputs], "int32", None, np.full(outputs, 1 << 14, np.int32))
        result = case.add([1, size, size, outputs], "int8", rectified)
        case.step(
            "CONV_2D",
            [source, kernel, bias],
            [result],
            StrideH=1,
            StrideW=1,
            DilationHFactor=1,
            DilationWFactor=1,
        )
        source = result
        if inputs == outputs:
            source = case.add([1, 3, 3, outputs], "int8", rectified)
            window = {"StrideH": 2, "StrideW": 2, "FilterHeight": 2, "FilterWidth": 2}
            case.step("MAX_POOL_2D", [result], [source], Padding=tflite.Padding.VALID, **window)
            size = 3
    case.outputs = [source]
    return merged([case]).to_bytes()


def macs(library: ModelLibrary) -> int:
    return sum(kernel.macs or 0 for kernel in library.kernels)


def metadata(files: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files["metadata.json"])["modules"]["model"]
    return found


def test_an_archive_says_what_was_dead(tmp_path: Path):
    (tmp_path / "model.tflite").write_bytes(model())
    files = compile_to_files(tmp_path / "model.tflite")
    write_library(tmp_path / "model.tar", files)
    library = open_library(tmp_path / "model.tar")
    assert macs(library) == 36 * (3 * 4 + 4 * 4) + 9 * 4 * 4
    assert library.dead_weights is not None
    assert library.dead_weights.macs == 36 * (3 * 4 + 8 * 8 - 4 * 4) + 9 * 4 * 4
    assert library.dead_weights.constants_bytes == 3 * 4 + 8 * 8 - 4 * 4 + 4 * 4 + 4 * (4 + 4)
    assert "are left out" in str(library.dead_weights)
    assert metadata(files)["dead_weights"]["macs"] == library.dead_weights.macs


def test_an_archive_of_a_living_model_says_nothing(tmp_path: Path):
    (tmp_path / "model.tflite").write_bytes(person())
    assert "dead_weights" not in metadata(compile_to_files(tmp_path / "model.tflite"))


def test_kernels_from_outside_see_all_channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(external_kernels, "NPU", external_kernels.npu(tmp_path), raising=False)
    place = f"{external_kernels.__name__}:NPU"
    monkeypatch.setitem(EXTERNAL_KERNELS.built_in, "npu", place)
    (tmp_path / "model.tflite").write_bytes(model())
    files = compile_to_files(tmp_path / "model.tflite", CompileOptions(external="npu"))
    write_library(tmp_path / "model.tar", files)
    assert macs(open_library(tmp_path / "model.tar")) == 36 * (3 * 4 + 4 * 8) + 9 * 8 * 4
