"""Quantized forms that are rarer: of old models, of 16 bits, with zero points of each channel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from tests.unit.compiler.onnx.comparing import Array, agree, compiled, floats, made, node

Ports = dict[str, tuple[str, Any]]


def integers(dtype: str, *shape: int, seed: int = 0) -> Array:
    """All values of a type, evenly distributed."""
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    return rng.integers(limits.min, limits.max + 1, shape).astype(dtype)


def by_onnxruntime(model: Any, *inputs: Array) -> list[Array]:
    """What onnxruntime computes of a graph as it is."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in session.get_inputs()]
    results: list[Array] = session.run(None, dict(zip(names, inputs, strict=True)))
    return results


@pytest.mark.parametrize("opset", [10, 13, 18])
def test_functions_of_a_byte_are_tables_in_every_version(opset: int, tmp_path: Path):
    constants = {"s": np.float32(0.03), "z": np.int8(5), "root": np.float32(1.4142135)}
    constants |= {"os": np.float32(0.0071), "oz": np.int8(-4)}
    nodes = [
        node("DequantizeLinear", "x s z", "real"),
        node("Div", "real root", "part"),
        node("Erf", "part", "error"),
        node("QuantizeLinear", "error os oz"),
    ]
    model = made(nodes, {"x": ("INT8", [256])}, "y", constants, opset=opset)
    source = np.arange(-128, 128).astype(np.int8)
    expected = by_onnxruntime(model, source)
    native = agree(model, tmp_path, [source], expected=expected)
    assert native.library.float_operators is None


def test_a_zero_point_that_is_left_out_is_0(tmp_path: Path):
    constants = {"s": np.float32(0.03), "os": np.float32(0.0071)}
    nodes = [
        node("DequantizeLinear", "x s", "real"),
        node("Tanh", "real", "function"),
        node("QuantizeLinear", "function os"),
    ]
    model = made(nodes, {"x": ("INT8", [256])}, "y", constants)
    native = agree(model, tmp_path, [np.arange(-128, 128).astype(np.int8)])
    assert native.library.float_operators is None


def test_unsigned_activations_of_16_bits_are_signed_ones(tmp_path: Path):
    constants = {"s": np.float32(2e-4), "z": np.uint16(30000), "os": np.float32(5e-4)}
    constants |= {"oz": np.uint16(40000), "ks": np.float32(1e-4), "kz": np.uint16(12)}
    constants |= {"k": integers("uint16", 4), "half": np.float32(2.5)}
    nodes = [
        node("QuantizeLinear", "x s z", "x_int"),
        node("DequantizeLinear", "x_int s z", "real"),
        node("DequantizeLinear", "k ks kz", "known"),
        node("Add", "real known", "sum"),
        node("QuantizeLinear", "sum os oz", "sum_int"),
        node("DequantizeLinear", "sum_int os oz", "sum_real"),
        node("Div", "sum_real half", "part"),
        node("QuantizeLinear", "part os oz", "part_int"),
        node("DequantizeLinear", "part_int os oz"),
    ]
    model = made(nodes, {"x": ("FLOAT", [50, 4])}, "y", constants, opset=21)
    source = floats(50, 4) * 5
    native = compiled(model, tmp_path)
    assert native.library.float_operators is None
    [expected] = by_onnxruntime(model, source)
    assert np.abs(native(source)[0] - expected).max() <= 5.1e-4
    assert np.ptp(expected) > 1


@pytest.mark.parametrize(
    ("source", "weights", "result"),
    [
        ("uint8", "uint8", "uint8"),
        ("int8", "uint8", "int8"),
        ("int16", "uint8", "int16"),
        ("int16", "int16", "int16"),
        ("int8", "int8", "int16"),
        ("uint8", "int8", "int8"),
    ],
)
@pytest.mark.parametrize("operator", ["Gemm", "Conv"])
def test_layers_of_any_types_with_a_zero_point_for_each_channel(
    operator: str, source: str, weights: str, result: str, tmp_path: Path
):
    is_conv = operator == "Conv"
    small = weights == "int16"
    limits = np.iinfo(weights)
    zero_points = np.array([3, 120, 0, 7], weights)
    constants = {
        "s": np.float32(2e-5 if source == "int16" else 0.02),
        "z": np.array(11, source),
        "w": np.clip(integers(weights, 4, 3, *([2, 2] if is_conv else [])), limits.min, limits.max),
        "ws": np.array([1, 2, 3, 4], np.float32) * np.float32(1e-5 if small else 1e-2),
        "wz": np.zeros(4, weights) if small else zero_points,
        "os": np.float32(3e-4 if result == "int16" else 0.1),
        "oz": np.array(5, result),
    }
    attributes: dict[str, Any] = {} if is_conv else {"transB": 1}
    nodes = [
        node("DequantizeLinear", "x s z", "real"),
        node("DequantizeLinear", "w ws wz", "weights", axis=0),
        node(operator, "real weights", "sum", **attributes),
        node("QuantizeLinear", "sum os oz"),
    ]
    shape = [1, 3, 5, 4] if is_conv else [6, 3]
    model = made(nodes, {"x": (source.upper(), shape)}, "y", constants, opset=21)
    native = compiled(model, tmp_path)
    assert native.library.float_operators is None
    given = integers(source, *shape, seed=1)
    [expected] = by_onnxruntime(model, given)
    [found] = native(given)
    assert found.dtype == expected.dtype
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= (1 if result == "int16" else 0)
    assert np.ptp(expected.astype(int)) > 50


def test_an_embedding_is_read_as_integers(tmp_path: Path):
    constants = {"t": integers("int8", 9, 4), "s": np.float32(0.02), "z": np.int8(3)}
    nodes = [
        node("DequantizeLinear", "t s z", "table"),
        node("Gather", "table x", "row"),
        node("QuantizeLinear", "row s z"),
    ]
    model = made(nodes, {"x": ("INT64", [2, 3])}, "y", constants)
    native = agree(model, tmp_path, [np.array([[0, 8, 3], [1, 1, 5]])])
    assert native.library.float_operators is None
