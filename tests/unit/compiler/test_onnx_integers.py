"""ONNX models whose quantization is written as QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from pytest_microtvm.compiler import compile_to_files
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.onnx.comparing import agree, compiled, floats, made, node
from tests.unit.compiler.onnx_models import QdqModel

SCALE = 0.0613
"""Of most outputs; no simple part of the others, or else the rounding of floats decided ties."""

Built = tuple[str, tuple[int, ...]]


def conv(model: QdqModel) -> Built:
    result = model.weighted("Conv", model.input, (5, 3, 3, 3), pads=[1, 1, 1, 1])
    return model.quantized(model.apply("Relu", result), SCALE), (1, 5, 8, 6)


def strided_conv(model: QdqModel) -> Built:
    attributes = {"pads": [0, 1, 1, 0], "strides": [2, 2]}
    result = model.weighted("Conv", model.input, (4, 3, 2, 2), **attributes)
    return model.quantized(result, SCALE), (1, 4, 4, 3)


def depthwise_conv(model: QdqModel) -> Built:
    result = model.weighted("Conv", model.input, (6, 1, 3, 3), group=3)
    return model.quantized(result, SCALE), (1, 6, 6, 4)


def max_pool(model: QdqModel) -> Built:
    result = model.apply("MaxPool", model.input, kernel_shape=[2, 2], strides=[2, 2])
    return model.quantized(result, 0.05), (1, 3, 4, 3)


def add(model: QdqModel) -> Built:
    other = model.quantized(model.apply("Relu", model.input), 0.03)
    return model.quantized(model.apply("Add", model.input, other), SCALE), (1, 3, 8, 6)


def global_average(model: QdqModel) -> Built:
    return model.quantized(model.apply("GlobalAveragePool", model.input), SCALE), (1, 3, 1, 1)


def dense(model: QdqModel) -> Built:
    flat = model.quantized(model.apply("Flatten", model.input), 0.05)
    return model.quantized(model.weighted("Gemm", flat, (7, 144), transB=1), 0.6), (1, 7)


def sigmoid(model: QdqModel) -> Built:
    return model.quantized(model.apply("Sigmoid", model.input), SCALE), (1, 3, 8, 6)


def concatenation(model: QdqModel) -> Built:
    other = model.quantized(model.apply("Relu", model.input), 0.05)
    result = model.apply("Concat", model.input, other, axis=1)
    return model.quantized(result, 0.05), (1, 6, 8, 6)


BUILDERS: list[Callable[[QdqModel], Built]] = [
    conv,
    strided_conv,
    depthwise_conv,
    max_pool,
    add,
    global_average,
    dense,
    sigmoid,
    concatenation,
]


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("per_channel", [True, False], ids=["per channel", "per tensor"])
def test_each_operator_is_an_integer_kernel_that_gives_the_nearest_values(
    dtype: str, per_channel: bool, tmp_path: Path
):
    for build in BUILDERS:
        model = QdqModel((1, 3, 8, 6), dtype, per_channel)
        output, shape = build(model)
        folder = tmp_path / build.__name__
        folder.mkdir()
        proto = model.saved(folder / "model.onnx", output, shape)
        native = NativeModel(compile_to_files(folder / "model.onnx"), folder)
        assert native.library.float_operators is None, build.__name__
        reference = ReferenceEvaluator(proto)
        values = np.random.default_rng(1).normal(size=(1, 3, 8, 6)).astype(np.float32) * 3
        [expected] = reference.run(None, {"x": values})
        [result] = native(values)
        np.testing.assert_allclose(result, expected, atol=1e-5, err_msg=build.__name__)


def test_images_change_their_order_once_and_not_between_operators(tmp_path: Path):
    model = QdqModel((1, 3, 8, 6))
    first = model.quantized(
        model.apply("Relu", model.weighted("Conv", model.input, (5, 3, 3, 3), pads=[1, 1, 1, 1])),
        0.05,
    )
    second = model.quantized(
        model.weighted("Conv", first, (5, 1, 3, 3), pads=[1, 1, 1, 1], group=5), 0.05
    )
    total = model.quantized(model.apply("Add", first, second), 0.08)
    mean = model.quantized(model.apply("GlobalAveragePool", total), 0.05)
    flat = model.quantized(model.apply("Flatten", mean), 0.05)
    model.saved(tmp_path / "model.onnx", flat, (1, 5))
    native = NativeModel(compile_to_files(tmp_path / "model.onnx"), tmp_path)
    assert native.text("*_internal.h").count("void tvmgen_model_transpose") == 1


@pytest.mark.parametrize("operator", ["Mul", "Add", "Sub"])
@pytest.mark.parametrize("zero_points", [(-32768, -32768), (32767, -32768), (0, 0)])
def test_no_intermediate_of_16_bits_overflows(
    operator: str, zero_points: tuple[int, int], tmp_path: Path
):
    scales = (1e-4, 1e-4)
    nodes, constants = [], {"os": np.float32(4e-4), "oz": np.int16(-3)}
    for side, scale, zero in zip("ab", scales, zero_points, strict=True):
        constants |= {f"{side}s": np.float32(scale), f"{side}z": np.int16(zero)}
        nodes.append(node("DequantizeLinear", f"{side} {side}s {side}z", f"{side}_real"))
    nodes.append(node(operator, "a_real b_real", "real"))
    nodes.append(node("QuantizeLinear", "real os oz"))
    ends = np.array([-32768, -32767, -1, 0, 1, 255, 32766, 32767], np.int16)
    left, right = (side.reshape(-1) for side in np.meshgrid(ends, ends))
    ports: dict[str, Any] = {"a": ("INT16", [64]), "b": ("INT16", [64])}
    native = compiled(made(nodes, ports, constants=constants), tmp_path)
    assert native.library.float_operators is None
    a, b = (
        (side.astype(np.float64) - zero) * scale
        for side, zero, scale in zip((left, right), zero_points, scales, strict=True)
    )
    real = {"Mul": a * b, "Add": a + b, "Sub": a - b}[operator]
    expected = np.clip(np.round(real / 4e-4) - 3, -32768, 32767)
    [result] = native(left, right)
    assert np.abs(result - expected).max() <= 1


def signal(model: QdqModel) -> Built:
    """Windows over signals, one after the other, and a fully connected layer."""
    first = model.weighted("Conv", model.input, (4, 3, 3), pads=[1, 1], strides=[2])
    first = model.quantized(model.apply("Relu", first), 0.05)
    pooled = model.quantized(model.apply("MaxPool", first, kernel_shape=[2], strides=[2]), 0.05)
    second = model.quantized(model.weighted("Conv", pooled, (5, 4, 3)), SCALE)
    mean = model.quantized(model.apply("GlobalAveragePool", second), SCALE)
    return mean, (1, 5, 1)


def test_signals_are_images_of_one_row(tmp_path: Path):
    model = QdqModel((1, 3, 16))
    output, shape = signal(model)
    proto = model.saved(tmp_path / "model.onnx", output, shape)
    native = NativeModel(compile_to_files(tmp_path / "model.onnx"), tmp_path)
    assert native.library.float_operators is None
    source = floats(1, 3, 16) * 3
    [expected] = ReferenceEvaluator(proto).run(None, {"x": source})
    [result] = native(source)
    assert np.abs(result - expected).max() <= 1.01 * SCALE


@pytest.mark.parametrize("operator", ["MaxPool", "Transpose", "Flatten"])
@pytest.mark.parametrize("quantized_first", [True, False])
def test_elements_are_moved_as_integers_at_any_scales(
    operator: str, quantized_first: bool, tmp_path: Path
):
    attributes: dict[str, Any] = {
        "MaxPool": {"kernel_shape": [2, 2]},
        "Transpose": {"perm": [0, 2, 3, 1]},
    }.get(operator, {})
    shape = {"MaxPool": (1, 3, 7, 5), "Transpose": (1, 8, 6, 3), "Flatten": (1, 144)}[operator]
    model = QdqModel((1, 3, 8, 6))
    source = model.input if quantized_first or operator == "MaxPool" else "x"
    moved = model.quantized(model.apply(operator, source, **attributes), 0.11)
    proto = model.saved(tmp_path / "model.onnx", moved, shape)
    native = NativeModel(compile_to_files(tmp_path / "model.onnx"), tmp_path)
    assert native.library.float_operators is None
    values = floats(1, 3, 8, 6) * 3
    [expected] = ReferenceEvaluator(proto).run(None, {"x": values})
    np.testing.assert_allclose(native(values)[0], expected, atol=0.111)


def test_the_scale_of_a_bias_is_read(tmp_path: Path):
    constants = {
        "s": np.float32(0.05),
        "z": np.int8(3),
        "w": np.random.default_rng(0).integers(-127, 128, (4, 6)).astype(np.int8),
        "ws": np.float32(0.01),
        "b": np.array([100, -100, 7, 0], np.int8),
        "bs": np.float32(0.02),
        "bz": np.int8(1),
        "os": np.float32(0.1),
    }
    nodes = [
        node("DequantizeLinear", "x s z", "real"),
        node("DequantizeLinear", "w ws", "weights"),
        node("DequantizeLinear", "b bs bz", "bias"),
        node("Gemm", "real weights bias", "sum", transB=1),
        node("QuantizeLinear", "sum os z"),
    ]
    model = made(nodes, {"x": ("INT8", [5, 6])}, constants=constants)
    source = np.random.default_rng(1).integers(-128, 128, (5, 6)).astype(np.int8)
    native = agree(model, tmp_path, [source])
    assert native.library.float_operators is None


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "ReduceMean", "AveragePool", "MatMul"])
def test_ties_are_rounded_to_even(operator: str, tmp_path: Path):
    """Scales that are powers of two: floats hold every sum, so that ties are what they are."""
    constants: dict[str, Any] = {"s": np.float32(0.25), "z": np.int8(3), "os": np.float32(1.0)}
    constants |= {"axes": np.array([3]), "w": np.full((4, 4), 2, np.int8)}
    attributes: dict[str, Any] = {"AveragePool": {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0]}}
    arguments = {"Add": "a b", "Sub": "a b", "Mul": "a b"}
    arguments |= {"ReduceMean": "a axes", "MatMul": "a weights"}
    nodes = [
        node("DequantizeLinear", "x s z", "a"),
        node("DequantizeLinear", "other s z", "b"),
        node("DequantizeLinear", "w s", "weights"),
        node(operator, arguments.get(operator, "a"), "real", **attributes.get(operator, {})),
        node("QuantizeLinear", f"real {'s' if operator == 'AveragePool' else 'os'} z"),
    ]
    kept = [n for n in nodes if operator == "MatMul" or n.output[0] != "weights"]
    ports: dict[str, Any] = {"x": ("INT8", [1, 2, 9, 4]), "other": ("INT8", [1, 2, 9, 4])}
    rng = np.random.default_rng(3)
    sources = [rng.integers(-30, 30, (1, 2, 9, 4)).astype(np.int8) for _ in range(2)]
    native = agree(made(kept, ports, constants=constants), tmp_path, sources)
    assert native.library.float_operators is None


@pytest.mark.parametrize("operator", ["HardSwish", "HardSigmoid", "Elu", "Exp", "Abs", "LeakyRelu"])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_functions_of_one_element_are_looked_up_and_exact(
    operator: str, dtype: str, tmp_path: Path
):
    model = QdqModel((1, 3, 8, 6), dtype)
    product = model.apply("Mul", model.apply(operator, model.input), model.input)
    output = model.quantized(product, 0.07)
    proto = model.saved(tmp_path / "model.onnx", output, (1, 3, 8, 6))
    native = NativeModel(compile_to_files(tmp_path / "model.onnx"), tmp_path)
    assert native.library.float_operators is None
    values = floats(1, 3, 8, 6) * 3
    [expected] = ReferenceEvaluator(proto).run(None, {"x": values})
    np.testing.assert_array_equal(native(values)[0], expected)
