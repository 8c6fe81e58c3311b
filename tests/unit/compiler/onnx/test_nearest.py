"""Operators of transformers and images between quantization: integers, to the nearest values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from tests.unit.compiler.onnx.comparing import Array, agree, compiled, floats, made, node

_OUTPUTS: dict[str, tuple[list[Any], float]] = {
    "softmax": ([node("Softmax", "x_real", "softmax_real")], 0.0041),
    "softmax_of_columns": (
        [node("Softmax", "x_real", "softmax_of_columns_real", axis=1)],
        0.0037,
    ),
    "normalized": ([node("LayerNormalization", "x_real gamma beta", "normalized_real")], 0.0317),
    "normalized_images": (
        [node("LayerNormalization", "x_real one", "normalized_images_real", axis=1, epsilon=0.1)],
        0.0281,
    ),
    "product": (
        [
            node("Transpose", "other_real", "turned", perm=[0, 1, 3, 2]),
            node("MatMul", "x_real turned", "product_real"),
        ],
        0.0919,
    ),
    "transposed": (
        [
            node("DequantizeLinear", "w w_scales", "weights", axis=1),
            node("DequantizeLinear", "b b_scales", "bias", axis=0),
            node(
                "ConvTranspose",
                "x_real weights bias",
                "transposed_real",
                strides=[2, 1],
                pads=[1, 0, 0, 1],
                output_padding=[1, 0],
            ),
        ],
        0.0521,
    ),
    "resized": (
        [node("Resize", "x_real _ scales", "resized_real", mode="linear")],
        0.0213,
    ),
    "averages": (
        [
            node(
                "AveragePool",
                "x_real",
                "averages_real",
                kernel_shape=[3, 2],
                pads=[1, 0, 1, 0],
                count_include_pad=1,
            )
        ],
        0.0177,
    ),
    "joined": (
        [
            node("Sigmoid", "x_real", "gates"),
            node("Concat", "gates other_real", "joined_real", axis=1),
        ],
        0.0371,
    ),
}
"""By the name of an output, what computes it from `x_real` and `other_real`, and its scale."""

_SHAPE = (1, 3, 5, 6)


def _model(dtype: str, names: list[str]) -> Any:
    zero = np.array({"int8": -7, "uint8": 119, "int16": 1234}[dtype], dtype)
    unit = 256 if dtype == "int16" else 1
    rng = np.random.default_rng(4)
    scales = np.array([0.003, 0.005], np.float32)
    constants: dict[str, Any] = {
        "x_scale": np.float32(0.0341 / unit),
        "other_scale": np.float32(0.0257 / unit),
        "zero": zero,
        "gamma": floats(6, seed=5),
        "beta": floats(6, seed=6),
        "one": np.ones(_SHAPE[1:], np.float32),
        "scales": np.array([1, 1, 3, 2], np.float32),
        "w": rng.integers(-127, 128, (3, 2, 3, 2)).astype(np.int8),
        "w_scales": scales,
        "b": rng.integers(-999, 999, 2).astype(np.int32),
        "b_scales": scales * np.float32(0.0341 / unit),
    }
    nodes = [
        node("DequantizeLinear", "x x_scale zero", "x_real"),
        node("DequantizeLinear", "other other_scale zero", "other_real"),
    ]
    for name in names:
        made_by, scale = _OUTPUTS[name]
        constants[f"{name}_scale"] = np.float32(scale / unit)
        nodes += made_by
        nodes.append(node("QuantizeLinear", f"{name}_real {name}_scale zero", name))
    used = {name for each in nodes for name in each.input}
    port = (dtype.upper(), _SHAPE)
    kept = {name: array for name, array in constants.items() if name in used}
    return made(nodes, {"x": port, "other": port}, " ".join(names), kept)


def _drawn(dtype: str, seed: int) -> Array:
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    return rng.integers(limits.min, limits.max + 1, _SHAPE).astype(dtype)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_results_are_the_nearest_values(dtype: str, tmp_path: Path):
    # A table of 16 bits is too large for a function of one element.
    names = [name for name in _OUTPUTS if (name, dtype) != ("joined", "int16")]
    model = _model(dtype, names)
    native = compiled(model, tmp_path)
    assert native.library.float_operators is None
    reference = ReferenceEvaluator(model)
    for seed in range(3):
        sources = _drawn(dtype, seed), _drawn(dtype, seed + 10)
        expected = reference.run(None, dict(zip(("x", "other"), sources, strict=True)))
        for name, wanted, result in zip(names, expected, native(*sources), strict=True):
            difference = np.abs(result.astype(np.int64) - wanted)
            if dtype == "int16":  # of which float32 cannot tell all halves
                assert difference.max() <= 1, name
                assert (difference > 0).mean() < 0.2, name
            else:
                assert not difference.any(), name


def test_constant_rows_and_certain_classes(tmp_path: Path):
    """The ends of the arithmetic: a variance of 0, and one element far above the others."""
    model = _model("int8", ["softmax", "normalized"])
    x = np.full(_SHAPE, -128, np.int8)
    x[0, 1, :, 2] = 127
    x[0, 2] = 127
    agree(model, tmp_path, [x, x])


@pytest.mark.parametrize("operator", ["Slice", "Pad", "Gather", "DepthToSpace", "Split", "Resize"])
def test_elements_are_moved_without_floats(operator: str, tmp_path: Path):
    constants: dict[str, Any] = {
        "s": np.float32(0.1),
        "z": np.int8(5),
        "Slice": (np.array([1]), np.array([3]), np.array([2])),
        "Pad": (np.array([0, 0, 1, 0, 0, 0, 0, 2]),),
        "Gather": (np.array([2, 0, 1, 1]),),
        "Split": (np.array([3, 1]),),
        "Resize": (np.array([], np.float32), np.array([1, 1, 2, 3], np.float32)),
    }
    attributes: dict[str, Any] = {
        "Gather": {"axis": 2},
        "DepthToSpace": {"blocksize": 2},
        "Split": {"axis": 1},
        "Resize": {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    }
    arguments = constants.get(operator, ())
    named = {f"argument{i}": array for i, array in enumerate(arguments)}
    results = "moved rest" if operator == "Split" else "moved"
    nodes = [
        node("DequantizeLinear", "x s z", "real"),
        node(operator, f"real {' '.join(named)}", results, **attributes.get(operator, {})),
        node("Add", "moved moved", "twice"),
        node("QuantizeLinear", "twice s z", "y"),
    ]
    kept = {"s": constants["s"], "z": constants["z"], **named}
    source = np.random.default_rng(0).integers(-60, 60, (1, 4, 3, 2)).astype(np.int8)
    native = agree(made(nodes, {"x": ("INT8", [1, 4, 3, 2])}, constants=kept), tmp_path, [source])
    assert native.library.float_operators is None


@pytest.mark.parametrize("opset", [12, 13])
def test_the_version_of_a_quantized_softmax_is_read(opset: int, tmp_path: Path):
    """Before version 13, all axes from the given one on are one."""
    constants = {"s": np.float32(0.05), "z": np.uint8(120), "so": np.float32(1 / 256)}
    softmax = node("QLinearSoftmax", "x s z so z", axis=1, opset=opset, domain="com.microsoft")
    model = made([softmax], {"x": ("UINT8", [2, 3, 4])}, constants=constants)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    source = np.random.default_rng(0).integers(90, 150, (2, 3, 4)).astype(np.uint8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    native = agree(model, tmp_path, [source], expected=session.run(None, {"x": source}))
    assert native.library.float_operators is None


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weights_of_few_bits_in_blocks(bits: int, tmp_path: Path):
    rng = np.random.default_rng(bits)
    constants = {
        "b": rng.integers(0, 256, (6, 2, 2 * bits)).astype(np.uint8),
        "s": np.abs(floats(12)) + 0.01,
        "zeros": rng.integers(0, 256, 6 * -(-2 * bits // 8)).astype(np.uint8),
    }
    attributes: dict[str, Any] = {
        "K": 28,
        "N": 6,
        "bits": bits,
        "block_size": 16,
        "domain": "com.microsoft",
    }
    product = node("MatMulNBits", "x b s zeros", **attributes)
    model = made([product], {"x": ("FLOAT", [3, 28])}, constants=constants)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    source = floats(3, 28)
    agree(model, tmp_path, [source], expected=session.run(None, {"x": source}))


def test_weights_of_4_bits_stay_integers(tmp_path: Path):
    weights = np.random.default_rng(0).integers(-8, 8, (8, 6))
    packed = helper.make_tensor("w", TensorProto.INT4, (8, 6), weights.reshape(-1).tolist())
    nodes = [
        node("DequantizeLinear", "x s z", "real"),
        node("DequantizeLinear", "w ws", "weights", axis=1),
        node("MatMul", "real weights", "sum"),
        node("QuantizeLinear", "sum os z"),
    ]
    constants = {
        "s": np.float32(0.05),
        "z": np.int8(3),
        "ws": np.abs(floats(6)) + np.float32(0.01),
        "os": np.float32(0.173),
    }
    model = made(nodes, {"x": ("INT8", [3, 8])}, constants=constants)
    model.graph.initializer.append(packed)
    source = np.random.default_rng(1).integers(-128, 128, (3, 8)).astype(np.int8)
    native = agree(model, tmp_path, [source])
    assert native.library.float_operators is None
