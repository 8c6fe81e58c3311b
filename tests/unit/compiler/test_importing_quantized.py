"""Details of quantized models that were lost once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
import tflite

from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.compiler.quantized.kernels import generate
from pytest_microtvm.compiler.quantized.specs import FullyConnected, Requantization, Rounding
from tests.unit.compiler.native import Array, NativeModel
from tests.unit.compiler.relax_models import relax_module
from tests.unit.compiler.tflite_models import Model, Operator, Quantization, Tensor


def reference(model: bytes, *inputs: Array) -> list[Array]:
    """LiteRT's reference kernels."""
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(
        model_content=model, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    for details, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(details["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def compared(model: Model, folder: Path, shape: list[int], dtype: str = "int8") -> NativeModel:
    """Build a model of one input and hold it to the reference."""
    path = folder / "model.tflite"
    path.write_bytes(model.to_bytes())
    native = NativeModel(compile_to_files(path), folder)
    assert native.library.float_operators is None
    limits = np.iinfo(dtype)
    values = np.random.default_rng(0).integers(limits.min, limits.max, shape).astype(dtype)
    [result] = native(values)
    [expected] = reference(path.read_bytes(), values)
    assert result.shape == expected.shape
    np.testing.assert_array_equal(result, expected)
    return native


def fully_connected(keep_num_dims: bool) -> tuple[str, Callable[[flatbuffers.Builder], int]]:
    def write(builder: flatbuffers.Builder) -> int:
        tflite.FullyConnectedOptionsStart(builder)
        tflite.FullyConnectedOptionsAddKeepNumDims(builder, keep_num_dims)
        return int(tflite.FullyConnectedOptionsEnd(builder))

    return "FullyConnectedOptions", write


@pytest.mark.parametrize(
    ("shape", "depth", "keep_num_dims", "output"),
    [
        ([2, 2, 2, 4], 16, False, [2, 6]),
        ([2, 3, 5], 5, True, [2, 3, 6]),
        ([2, 3, 5], 5, False, [6, 6]),
        ([1, 1, 1, 9], 9, False, [1, 6]),
    ],
)
def test_a_fully_connected_layer_takes_its_input_as_rows(
    shape: list[int], depth: int, keep_num_dims: bool, output: list[int], tmp_path: Path
):
    rng = np.random.default_rng(1)
    weights = rng.integers(-127, 128, (6, depth)).astype(np.int8)
    bias = rng.integers(-500, 500, 6).astype(np.int32)
    tensors = [
        Tensor("x", shape, "INT8", None, Quantization([0.05], [4])),
        Tensor("w", [6, depth], "INT8", weights, Quantization([0.01], [0])),
        Tensor("b", [6], "INT32", bias, Quantization([0.0005], [0])),
        Tensor("y", output, "INT8", None, Quantization([0.2], [-7])),
    ]
    layer = Operator("FULLY_CONNECTED", [0, 1, 2], [3], fully_connected(keep_num_dims))
    compared(Model(tensors, [layer], [0], [3]), tmp_path, shape)


@pytest.mark.parametrize("bias_dtype", ["INT32", "INT64"])
def test_int16_activations_keep_the_width_of_their_bias(bias_dtype: str, tmp_path: Path):
    rng = np.random.default_rng(2)
    weights = rng.integers(-127, 128, (3, 20)).astype(np.int8)
    bias = rng.integers(-(2**20), 2**20, 3).astype(bias_dtype.lower())
    tensors = [
        Tensor("x", [2, 20], "INT16", None, Quantization([0.001], [0])),
        Tensor("w", [3, 20], "INT8", weights, Quantization([0.01], [0])),
        Tensor("b", [3], bias_dtype, bias, Quantization([0.00001], [0])),
        Tensor("y", [2, 3], "INT16", None, Quantization([0.003], [0])),
    ]

    def write(builder: flatbuffers.Builder) -> int:
        tflite.FullyConnectedOptionsStart(builder)
        kind = getattr(tflite.TensorType, bias_dtype)
        tflite.FullyConnectedOptionsAddQuantizedBiasType(builder, kind)
        return int(tflite.FullyConnectedOptionsEnd(builder))

    layer = Operator("FULLY_CONNECTED", [0, 1, 2], [3], ("FullyConnectedOptions", write))
    compared(Model(tensors, [layer], [0], [3]), tmp_path, [2, 20], "int16")


@pytest.mark.parametrize(
    ("beta", "scale"),
    [(0.5, 0.02), (1.0, 0.02), (3.0, 0.02), (1.0, 24.0), (1.0, 31.9), (1.0, 500.0)],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_softmax_has_its_beta_and_any_scale(beta: float, scale: float, bits: int, tmp_path: Path):
    def write(builder: flatbuffers.Builder) -> int:
        tflite.SoftmaxOptionsStart(builder)
        tflite.SoftmaxOptionsAddBeta(builder, beta)
        return int(tflite.SoftmaxOptionsEnd(builder))

    tensors = [
        Tensor("x", [3, 7], "INT8", None, Quantization([scale], [5])),
        Tensor("y", [3, 7], f"INT{bits}", None, Quantization([1 / 2**bits], [-(2 ** (bits - 1))])),
    ]
    operator = Operator("SOFTMAX", [0], [1], ("SoftmaxOptions", write))
    compared(Model(tensors, [operator], [0], [1]), tmp_path, [3, 7])


@pytest.mark.parametrize(
    ("dtype", "steps", "zero_point"), [("INT8", 65535, -32768), ("INT16", 32767, 0)]
)
def test_softmax_of_16_bits_takes_scales_near_its_own(
    dtype: str, steps: int, zero_point: int, tmp_path: Path
):
    tensors = [
        Tensor("x", [3, 7], dtype, None, Quantization([0.02 if dtype == "INT8" else 2e-4], [0])),
        Tensor("y", [3, 7], "INT16", None, Quantization([1 / steps], [zero_point])),
    ]
    operator = Operator("SOFTMAX", [0], [1], ("SoftmaxOptions", softmax_options))
    compared(Model(tensors, [operator], [0], [1]), tmp_path, [3, 7], dtype.lower())


def softmax_options(builder: flatbuffers.Builder) -> int:
    tflite.SoftmaxOptionsStart(builder)
    tflite.SoftmaxOptionsAddBeta(builder, 1.0)
    return int(tflite.SoftmaxOptionsEnd(builder))


def test_a_bound_halfway_between_two_steps_is_rounded_away_from_zero(tmp_path: Path):
    # 6 / 0.8 = 7.5 steps; a banker would make 8 of it, too, but of 6 / 0.48 = 12.5 he makes 12.
    def write(builder: flatbuffers.Builder) -> int:
        tflite.Conv2DOptionsStart(builder)
        tflite.Conv2DOptionsAddStrideH(builder, 1)
        tflite.Conv2DOptionsAddStrideW(builder, 1)
        relu6 = tflite.ActivationFunctionType.RELU6
        tflite.Conv2DOptionsAddFusedActivationFunction(builder, relu6)
        return int(tflite.Conv2DOptionsEnd(builder))

    tensors = [
        Tensor("x", [1, 4, 4, 1], "INT8", None, Quantization([0.5], [0])),
        Tensor(
            "w", [1, 1, 1, 1], "INT8", np.full((1, 1, 1, 1), 100, np.int8), Quantization([1], [0])
        ),
        Tensor("b", [1], "INT32", np.zeros(1, np.int32), Quantization([0.5], [0])),
        Tensor("y", [1, 4, 4, 1], "INT8", None, Quantization([0.48], [0])),
    ]
    operator = Operator("CONV_2D", [0, 1, 2], [3], ("Conv2DOptions", write))
    native = compared(Model(tensors, [operator], [0], [3]), tmp_path, [1, 4, 4, 1])
    [result] = native(np.full((1, 4, 4, 1), 127, np.int8))
    assert result.max() == 13


def test_a_bias_may_name_the_axis_of_its_weights(tmp_path: Path):
    # Early converters wrote so; LiteRT refuses such files now, TensorFlow Lite Micro never looked.
    rng = np.random.default_rng(3)
    scales = [0.01, 0.02, 0.03]

    def write(builder: flatbuffers.Builder) -> int:
        tflite.DepthwiseConv2DOptionsStart(builder)
        tflite.DepthwiseConv2DOptionsAddStrideH(builder, 1)
        tflite.DepthwiseConv2DOptionsAddStrideW(builder, 1)
        tflite.DepthwiseConv2DOptionsAddDepthMultiplier(builder, 1)
        return int(tflite.DepthwiseConv2DOptionsEnd(builder))

    def model(axis: int) -> Model:
        bias = Quantization([0.05 * scale for scale in scales], [0] * 3, axis)
        tensors = [
            Tensor("x", [1, 5, 5, 3], "INT8", None, Quantization([0.05], [4])),
            Tensor("w", [1, 3, 3, 3], "INT8", weights, Quantization(scales, [0] * 3, 3)),
            Tensor("b", [3], "INT32", np.array([-100, 0, 200], np.int32), bias),
            Tensor("y", [1, 5, 5, 3], "INT8", None, Quantization([0.2], [-7])),
        ]
        layer = Operator("DEPTHWISE_CONV_2D", [0, 1, 2], [3], ("DepthwiseConv2DOptions", write))
        return Model(tensors, [layer], [0], [3])

    weights = rng.integers(-127, 128, (1, 3, 3, 3)).astype(np.int8)
    right = compared(model(0), tmp_path, [1, 5, 5, 3])
    (tmp_path / "odd").mkdir()
    path = tmp_path / "odd" / "model.tflite"
    path.write_bytes(model(3).to_bytes())
    odd = NativeModel(compile_to_files(path), tmp_path / "odd")
    values = rng.integers(-128, 128, (1, 5, 5, 3)).astype(np.int8)
    np.testing.assert_array_equal(odd(values)[0], right(values)[0])


def test_the_factor_of_a_requantization_is_a_quotient_of_doubles(tmp_path: Path):
    # As a quotient of floats it is greater by 2e-8, and 16,332 becomes 24,896.
    tensors = [
        Tensor("x", [65536], "INT16", None, Quantization([0.4217202663421631], [0])),
        Tensor("y", [65536], "INT16", None, Quantization([0.2766578495502472], [0])),
    ]
    path = tmp_path / "model.tflite"
    path.write_bytes(Model(tensors, [Operator("QUANTIZE", [0], [1])], [0], [1]).to_bytes())
    values = np.arange(-32768, 32768).astype(np.int16)
    [result] = NativeModel(compile_to_files(path), tmp_path)(values)
    [expected] = reference(path.read_bytes(), values)
    np.testing.assert_array_equal(result, expected)
    assert result[values == 16332] == 24895


def test_outputs_may_see_nothing_but_padding(tmp_path: Path):
    def write(builder: flatbuffers.Builder) -> int:
        tflite.Conv2DOptionsStart(builder)
        tflite.Conv2DOptionsAddPadding(builder, tflite.Padding.VALID)
        tflite.Conv2DOptionsAddStrideH(builder, 5)
        tflite.Conv2DOptionsAddStrideW(builder, 5)
        return int(tflite.Conv2DOptionsEnd(builder))

    weights = np.array([50, -70], np.int8).reshape(1, 1, 1, 2)
    margins = np.array([[0, 0], [3, 0], [3, 0], [0, 0]], np.int32)
    tensors = [
        Tensor("x", [1, 2, 2, 2], "INT8", None, Quantization([0.05], [4])),
        Tensor("margins", [4, 2], "INT32", margins),
        Tensor("padded", [1, 5, 5, 2], "INT8", None, Quantization([0.05], [4])),
        Tensor("w", [1, 1, 1, 2], "INT8", weights, Quantization([0.01], [0])),
        Tensor("b", [1], "INT32", np.array([300], np.int32), Quantization([0.0005], [0])),
        Tensor("y", [1, 1, 1, 1], "INT8", None, Quantization([0.02], [-7])),
    ]
    pad = Operator("PAD", [0, 1], [2])
    layer = Operator("CONV_2D", [2, 3, 4], [5], ("Conv2DOptions", write))
    compared(Model(tensors, [pad, layer], [0], [5]), tmp_path, [1, 2, 2, 2])


# Sums and products that 32 bits do not hold.


def relax_model(inputs: list[list[int]], function: Callable[..., Any], folder: Path) -> NativeModel:
    """A float function between int16 tensors of scale 1/64 and zero point -32768."""
    from tvm import relax

    scale, zero_point = relax.const(1 / 64, "float32"), relax.const(-32768, "int32")

    def quantized(*tensors: Any) -> Any:
        real = [relax.op.dequantize(tensor, scale, zero_point) for tensor in tensors]
        result = function(*real)
        return relax.op.quantize(result, scale, zero_point, out_dtype="int16")

    module = relax_module(quantized, *((shape, "int16") for shape in inputs))
    native = NativeModel(compile_to_files(module), folder)
    assert native.library.float_operators is None
    return native


def test_products_of_int16_with_zero_points_are_whole(tmp_path: Path):
    from tvm import relax

    model = relax_model([[4], [4]], relax.op.multiply, tmp_path)
    left = np.array([32767, 30000, -32768, 20000], np.int16)
    right = np.array([32767, -30000, 32767, 25000], np.int16)
    products = (left + 32768.0) * (right + 32768.0) / 64
    expected = np.clip(np.round(products), 0, 65535) - 32768
    np.testing.assert_array_equal(model(left, right)[0], expected)


@pytest.mark.parametrize("operator", ["add", "subtract"])
def test_sums_of_int16_with_zero_points_are_whole(operator: str, tmp_path: Path):
    from tvm import relax

    model = relax_model([[3], [3]], getattr(relax.op, operator), tmp_path)
    left = np.array([32767, 10000, -32768], np.int16)
    right = np.array([-32768, -25000, -32768], np.int16)
    reals = getattr(np, operator)(left + 32768.0, right + 32768.0)
    np.testing.assert_array_equal(model(left, right)[0], np.clip(reals, 0, 65535) - 32768)


def test_means_of_many_int16_are_whole(tmp_path: Path):
    from tvm import relax

    shape = [1, 300, 300, 1]
    model = relax_model([shape], lambda x: relax.op.mean(x, [1, 2]), tmp_path)
    image = np.full(shape, 32767, np.int16)
    image[0, 0, :150] = -32768
    mean = np.mean(image + 32768.0)
    np.testing.assert_array_equal(model(image)[0], [[np.round(mean) - 32768]])


def test_pools_of_many_int16_are_whole(tmp_path: Path):
    shape = [1, 300, 300, 1]
    known = Quantization([0.5], [0])
    tensors = [Tensor("x", shape, "INT16", None, known), Tensor("y", [1] * 4, "INT16", None, known)]

    def write(builder: flatbuffers.Builder) -> int:
        tflite.Pool2DOptionsStart(builder)
        for field in ("FilterHeight", "FilterWidth"):
            getattr(tflite, f"Pool2DOptionsAdd{field}")(builder, 300)
        tflite.Pool2DOptionsAddStrideH(builder, 1)
        tflite.Pool2DOptionsAddStrideW(builder, 1)
        tflite.Pool2DOptionsAddPadding(builder, tflite.Padding.VALID)
        return int(tflite.Pool2DOptionsEnd(builder))

    operator = Operator("AVERAGE_POOL_2D", [0], [1], ("Pool2DOptions", write))
    path = tmp_path / "net.tflite"
    path.write_bytes(Model(tensors, [operator], [0], [1]).to_bytes())
    model = NativeModel(compile_to_files(path), tmp_path)
    np.testing.assert_array_equal(model(np.full(shape, 32767, np.int16))[0], [[[[32767]]]])


def test_layers_over_int16_with_zero_points_add_up_in_64_bits_where_they_have_to():
    weights = np.full((1, 400), 127, np.int8)
    requantization = Requantization(
        np.array([1 << 30], np.int32), np.array([-20], np.int32), Rounding.DOUBLE, 0, -32768, 32767,
        "int16",
    )  # fmt: skip
    spec = FullyConnected(1, weights, 0, np.zeros(1, np.int32), -32768, requantization, "int16")
    assert "int64_t sum" in generate(spec).body
    short = replace(spec, weights=weights[:, :200])
    assert "int32_t sum" in generate(short).body
