"""TFLite files that hang together, but say what means nothing: refused in one clear line each."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
import tflite

from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.compiler.frontends.tflite_file import read_tflite
from pytest_microtvm.errors import ModelError
from tests.operators.running import run_litert
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.tflite_models import (
    Model,
    Operator,
    Quantization,
    Tensor,
    add,
    fully_connected,
    mul_options,
    options,
)


def refusal(model: Model) -> str:
    """What is said of a model before anything is converted."""
    with pytest.raises(ModelError) as caught:
        read_tflite(model.to_bytes())
    assert caught.value.cure
    assert "\n" not in str(caught.value)
    return str(caught.value)


def native(model: Model, directory: Path) -> NativeModel:
    """The model compiled for this machine."""
    path = directory / "net.tflite"
    path.write_bytes(model.to_bytes())
    return NativeModel(compile_to_files(path), directory)


def relu(*tensors: Tensor) -> Model:
    return Model(list(tensors), [Operator("RELU", [0], [1])], [0], [1])


def quantized(**changes: Any) -> Model:
    given: dict[str, Any] = {"scales": [0.5], "zero_points": [0], "axis": 0, **changes}
    dtype = given.pop("dtype", "INT8")
    return relu(
        Tensor("x", [2, 3], dtype, quantization=Quantization(**given)),
        Tensor("y", [2, 3], dtype, quantization=Quantization([0.5], [0])),
    )


@pytest.mark.parametrize("scale", [0.0, -0.5, 1e30, math.nan, math.inf, -math.inf])
def test_a_scale_is_a_number_above_0(scale: float):
    assert "the tensor 'x' has the scale" in refusal(quantized(scales=[scale]))


@pytest.mark.parametrize(
    ("dtype", "zero_point"),
    [
        ("INT8", 128),
        ("INT8", -129),
        ("UINT8", -1),
        ("UINT8", 256),
        ("INT16", 1 << 15),
        ("INT32", 1 << 31),
        ("INT8", 1 << 62),
    ],
)
def test_a_zero_point_is_a_value_of_its_type(dtype: str, zero_point: int):
    message = refusal(quantized(dtype=dtype, zero_points=[zero_point]))
    assert f"the tensor 'x' has the zero point {zero_point}, outside of" in message


@pytest.mark.parametrize(
    ("scales", "zero_points", "axis"),
    [([0.5, 0.5], [0, 0], 1), ([0.5] * 3, [0] * 3, 2), ([0.5] * 3, [0] * 3, -1)],
)
def test_scales_belong_to_an_axis(scales: list[float], zero_points: list[int], axis: int):
    message = refusal(quantized(scales=scales, zero_points=zero_points, axis=axis))
    assert f"has {len(scales)} scales for the axis {axis} of the shape [2, 3]" in message


def test_zero_points_of_biases_and_of_several_scales_are_0():
    tensors = [
        Tensor("x", [1, 3], "INT8", quantization=Quantization([0.5], [4])),
        Tensor("w", [4, 3], "INT8", np.ones((4, 3), np.int8), Quantization([0.5], [0])),
        Tensor("b", [4], "INT32", np.ones(4, np.int32), Quantization([0.25], [0])),
        Tensor("y", [1, 4], "INT8", quantization=Quantization([0.5], [4])),
    ]
    model = Model(tensors, [fully_connected([0, 1, 2], 3)], [0], [3])
    read_tflite(model.to_bytes())
    model.tensors[2] = replace(tensors[2], quantization=Quantization([0.25], [5]))
    assert "the tensor 'b' has the zero point 5, not 0" in refusal(model)
    scales = Quantization([0.5] * 3, [0, -7, 0], 1)
    assert "'x' has the zero point -7, not 0" in refusal(
        relu(Tensor("x", [2, 3], "INT8", quantization=scales), Tensor("y", [2, 3], "INT8"))
    )


def test_the_output_of_arg_max_is_of_the_type_that_its_options_say():
    def model(dtype: str) -> Model:
        table = options("ArgMaxOptions", OutputType=tflite.TensorType.INT32)
        axis = Tensor("axis", [1], "INT32", np.zeros(1, np.int32))
        tensors = [Tensor("x", [4]), axis, Tensor("y", [], dtype)]
        return Model(tensors, [Operator("ARG_MAX", [0, 1], [2], table)], [0], [2])

    read_tflite(model("INT32").to_bytes())
    assert "'y' is of another type than the options of ARG_MAX say" in refusal(model("INT64"))


@pytest.mark.parametrize("operator", ["RELU", "LOGISTIC", "EXP"])
@pytest.mark.parametrize("dtype", ["INT8", "UINT8"])
def test_bytes_that_are_rescaled_have_a_scale(operator: str, dtype: str):
    model = Model(
        [Tensor("x", [2, 3], dtype), Tensor("y", [2, 3], dtype)],
        [Operator(operator, [0], [1])],
        [0],
        [1],
    )
    assert f"the tensor 'x' has no scale, which {operator} needs" in refusal(model)
    read_tflite(replace(model, operators=[Operator("SQUEEZE", [0], [1])]).to_bytes())


@pytest.mark.parametrize("scale", [1e-30, 8.0])
def test_a_logistic_of_int16_has_a_scale_that_litert_has_a_factor_for(scale: float, tmp_path: Path):
    tensors = [
        Tensor("x", [1, 3], "INT16", quantization=Quantization([scale], [0])),
        Tensor("y", [1, 3], "INT16", quantization=Quantization([1 / 32768], [0])),
    ]
    path = tmp_path / "net.tflite"
    path.write_bytes(Model(tensors, [Operator("LOGISTIC", [0], [1])], [0], [1]).to_bytes())
    with pytest.raises(ModelError, match=rf"'y'\): .* has the input scale {scale:g}, for which"):
        compile_to_files(path)


@pytest.mark.parametrize("operator", ["MAXIMUM", "MINIMUM"])
def test_the_larger_one_is_chosen_among_values_of_one_quantization(operator: str):
    def model(*zero_points: int) -> Model:
        tensors = [
            Tensor(name, [2], "INT8", quantization=Quantization([0.5], [zero_point]))
            for name, zero_point in zip("abc", zero_points, strict=True)
        ]
        return Model(tensors, [Operator(operator, [0, 1], [2])], [0, 1], [2])

    read_tflite(model(3, 3, 3).to_bytes())
    for zero_points in ((3, 4, 3), (3, 3, 0)):
        assert f"{operator} has tensors of several" in refusal(model(*zero_points))


@pytest.mark.parametrize(("bias", "is_refused"), [(1 << 47, True), ((1 << 47) - 1, False)])
def test_biases_of_sums_of_int16_are_of_48_bits(bias: int, is_refused: bool):
    tensors = [
        Tensor("x", [1, 3], "INT16", quantization=Quantization([0.5], [0])),
        Tensor("w", [4, 3], "INT8", np.ones((4, 3), np.int8), Quantization([0.5], [0])),
        Tensor("b", [4], "INT64", np.full(4, bias, np.int64), Quantization([0.25], [0])),
        Tensor("y", [1, 4], "INT16", quantization=Quantization([0.5], [0])),
    ]
    model = Model(tensors, [fully_connected([0, 1, 2], 3)], [0], [3])
    if is_refused:
        assert "the tensor 'b' holds a bias of more than the 48 bits" in refusal(model)
    else:
        read_tflite(model.to_bytes())


@pytest.mark.parametrize("zero_points", [[], [0, 0]])
def test_scales_have_zero_points(zero_points: list[int]):
    message = refusal(quantized(scales=[0.5] * 3, zero_points=zero_points, axis=1))
    assert "as many zero points as scales" in message


@pytest.mark.parametrize("scale", [0.5, -0.5, 0.0, math.nan])
def test_floats_are_not_quantized_whatever_scale_they_carry(scale: float, tmp_path: Path):
    weights = np.arange(12, dtype=np.float32).reshape(4, 3) - 5
    tensors = [
        Tensor("x", [1, 3], quantization=Quantization([scale], [3])),
        Tensor("w", [4, 3], data=weights, quantization=Quantization([scale], [0])),
        Tensor("y", [1, 4], quantization=Quantization([scale], [0])),
    ]
    model = Model(tensors, [fully_connected([0, 1], 2)], [0], [2])
    x = np.array([[0.25, -3.0, 2.0]], np.float32)
    [y] = native(model, tmp_path)(x)
    np.testing.assert_allclose(y, x @ weights.T, rtol=1e-6)


CONV = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
POOL = {"StrideH": 1, "StrideW": 1, "FilterHeight": 1, "FilterWidth": 1}
POSITIVE = [
    *(("CONV_2D", "Conv2DOptions", CONV, name) for name in CONV),
    *(("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", CONV, name) for name in CONV),
    *(("MAX_POOL_2D", "Pool2DOptions", POOL, name) for name in POOL),
    *(("AVERAGE_POOL_2D", "Pool2DOptions", POOL, name) for name in POOL),
    ("TRANSPOSE_CONV", "TransposeConvOptions", {"StrideH": 1, "StrideW": 1}, "StrideH"),
    ("SPACE_TO_DEPTH", "SpaceToDepthOptions", {"BlockSize": 1}, "BlockSize"),
    ("DEPTH_TO_SPACE", "DepthToSpaceOptions", {"BlockSize": 1}, "BlockSize"),
]


def image_model(operator: str, table: tuple[str, Any] | None) -> Model:
    image = [1, 4, 4, 1]
    tensors = [Tensor("x", image), Tensor("w", [1, 1, 1, 1], data=np.ones(1, np.float32))]
    tensors.append(Tensor("y", image))
    inputs = [0, 1] if "CONV" in operator else [0]
    return Model(tensors, [Operator(operator, inputs, [2], table)], [0], [2])


@pytest.mark.parametrize("value", [0, -1, -(1 << 31)])
@pytest.mark.parametrize(
    ("operator", "table", "good", "option"), POSITIVE, ids=lambda value: str(value)[:24]
)
def test_what_is_divided_by_is_1_or_more(
    operator: str, table: str, good: dict[str, int], option: str, value: int
):
    read_tflite(image_model(operator, options(table, **good)).to_bytes())
    message = refusal(image_model(operator, options(table, **{**good, option: value})))
    assert operator in message
    assert f"{value}, not one of 1 or more" in message


def test_an_operator_without_its_options_is_refused():
    assert "CONV_2D lacks its options" in refusal(image_model("CONV_2D", None))
    other = options("Pool2DOptions", **POOL)
    assert "CONV_2D lacks its options" in refusal(image_model("CONV_2D", other))


@pytest.mark.parametrize("option", ["Padding", "FusedActivationFunction"])
def test_an_unknown_number_is_refused(option: str):
    model = image_model("CONV_2D", options("Conv2DOptions", **CONV, **{option: 77}))
    assert "77" in refusal(model)


@pytest.mark.parametrize("activation", ["TANH", "SIGN_BIT"])
def test_an_activation_that_tensorflow_lite_ignores_is_refused(activation: str):
    number = getattr(tflite.ActivationFunctionType, activation)
    model = image_model("CONV_2D", options("Conv2DOptions", **CONV, FusedActivationFunction=number))
    assert f"CONV_2D has the fused activation {activation}" in refusal(model)


@pytest.mark.parametrize("operator", ["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"])
def test_a_resize_that_aligns_corners_and_has_half_pixel_centers_is_refused(operator: str):
    table = "".join(word.capitalize() for word in operator.split("_")) + "Options"
    tensors = [
        Tensor("x", [1, 4, 2, 3]),
        Tensor("size", [2], "INT32", np.array([8, 4], np.int32)),
        Tensor("y", [1, 8, 4, 3]),
    ]

    def model(**flags: int) -> Model:
        return Model(tensors, [Operator(operator, [0, 1], [2], options(table, **flags))], [0], [2])

    read_tflite(model(AlignCorners=1).to_bytes())
    read_tflite(model(HalfPixelCenters=1).to_bytes())
    assert "exclude each other" in refusal(model(AlignCorners=1, HalfPixelCenters=1))


# Sizes.


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([65536, 65536], "elements"),
        ([4, 13, 3, 11, 1952870259], "elements"),
        ([1] * 9, "9 dimensions"),
        ([(1 << 26) + 1], "elements"),
        ([1 << 26], "bytes"),
        ([(1 << 31) - 1] * 8, "elements"),
    ],
)
@pytest.mark.parametrize("index", [0, 1])
def test_a_tensor_that_is_too_large_is_refused_by_name(shape: list[int], message: str, index: int):
    model = relu(Tensor("x", [2, 3]), Tensor("y", [2, 3]))
    model.tensors[index] = replace(model.tensors[index], shape=shape)
    text = refusal(model)
    assert f"the tensor {'xy'[index]!r} has" in text
    assert message in text


def test_the_number_of_operators_is_bounded():
    count = 8193
    tensors = [Tensor("t", [1]) for _ in range(count + 1)]
    operators = [Operator("RELU", [i], [i + 1]) for i in range(count)]
    assert "8193 operators, more than 8192" in refusal(Model(tensors, operators, [0], [count]))


def test_an_input_without_elements_is_refused(tmp_path: Path):
    path = tmp_path / "net.tflite"
    path.write_bytes(relu(Tensor("x", [0, 3]), Tensor("y", [0, 3])).to_bytes())
    with pytest.raises(ModelError, match="'x' has no elements"):
        compile_to_files(path)


@pytest.mark.parametrize(
    ("operator", "dtype"), [("LOGISTIC", "INT32"), ("TANH", "INT32"), ("RSQRT", "INT64")]
)
def test_an_operator_of_a_type_that_it_does_not_take_is_named(
    operator: str, dtype: str, tmp_path: Path
):
    model = relu(Tensor("x", [2], dtype), Tensor("y", [2], dtype))
    model.operators[0] = Operator(operator, [0], [1])
    path = tmp_path / "net.tflite"
    path.write_bytes(model.to_bytes())
    with pytest.raises(ModelError, match=f"{operator}.*'y'"):
        compile_to_files(path)


# Who writes what.


def flow(operators: list[Operator], inputs: list[int], outputs: list[int]) -> Model:
    tensors = [Tensor(name, [2]) for name in "abcd"]
    tensors.append(Tensor("k", [2], data=np.ones(2, np.float32)))
    return Model(tensors, operators, inputs, outputs)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (flow([add([0, 4], 0)], [0], [0]), "'a' is written by ADD, but is an input"),
        (flow([add([0, 4], 4)], [0], [4]), "'k' is written by ADD, but is an input, a constant"),
        (flow([add([0, 1], 2)], [0], [2]), "'b' is read by ADD before anything writes it"),
        (flow([add([1, 4], 1)], [0], [1]), "'b' is read by ADD before anything writes it"),
        (flow([add([0, 4], 1), add([0, 0], 1)], [0], [1]), "written already"),
        (flow([add([2, 4], 1), add([0, 4], 2)], [0], [1]), "'c' is read by ADD before"),
        (flow([add([0, 4], 1)], [0], [2]), "'c' is an output that nothing writes"),
        (flow([add([0, 4], 1)], [0, 0], [1]), "'a' is an input twice"),
        (flow([add([0, 4], 1)], [0, 4], [1]), "'k' is an input twice, or a constant"),
    ],
)
def test_every_tensor_is_written_once_and_before_it_is_read(model: Model, message: str):
    assert message in refusal(model)


def test_an_input_may_be_an_output_as_it_is(tmp_path: Path):
    model = flow([add([0, 4], 1)], [0], [0, 1])
    x = np.array([3.0, -1.0], np.float32)
    same, more = native(model, tmp_path)(x)
    assert same.tolist() == x.tolist()
    assert more.tolist() == (x + 1).tolist()


@pytest.mark.parametrize("names", ["x main", "main y"])
def test_a_tensor_may_have_the_name_of_the_function(names: str, tmp_path: Path):
    tensors = [Tensor(name, [1, 3]) for name in names.split()]
    model = native(Model(tensors, [Operator("NEG", [0], [1])], [0], [1]), tmp_path)
    np.testing.assert_array_equal(model(np.array([[1, 2, 3]], np.float32))[0], [[-1, -2, -3]])


def test_masks_of_attention_have_the_scale_of_the_least_float(tmp_path):
    """As causal layers of Keras are quantized: logits or the least of float32, and a softmax."""
    pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")
    scores, least = Quantization([0.089], [-5]), Quantization([9.30459185062996e35], [127])
    tensors = [
        Tensor("scores", [3, 3], "INT8", quantization=scores),
        Tensor("factor", [1], "INT8", np.array([127], np.int8), Quantization([0.0014], [-128])),
        Tensor("scaled", [3, 3], "INT8", quantization=least),
        Tensor("is_seen", [3, 3], "BOOL", np.tri(3).astype(bool)),
        Tensor("least", [3, 3], "INT8", np.full([3, 3], -128, np.int8), least),
        Tensor("masked", [3, 3], "INT8", quantization=least),
        Tensor("y", [3, 3], "INT8", quantization=Quantization([1 / 256], [-128])),
    ]
    operators = [
        Operator("MUL", [0, 1], [2], ("MulOptions", mul_options)),
        Operator("SELECT_V2", [3, 2, 4], [5]),
        Operator("SOFTMAX", [5], [6], ("SoftmaxOptions", softmax_options)),
    ]
    model = Model(tensors, operators, [0], [6])
    given = np.arange(-120, 120, 27, dtype=np.int8).reshape(3, 3)
    [[expected]] = run_litert(model.to_bytes(), [[given]])
    np.testing.assert_array_equal(native(model, tmp_path)(given)[0], expected)


def softmax_options(builder: flatbuffers.Builder) -> int:
    tflite.SoftmaxOptionsStart(builder)
    tflite.SoftmaxOptionsAddBeta(builder, 1.0)
    return int(tflite.SoftmaxOptionsEnd(builder))


@pytest.mark.parametrize("left_out", ["DeprecatedBuiltinCode", "BuiltinCode"])
def test_either_field_of_an_operator_s_code_counts(left_out, tmp_path, monkeypatch):
    """With both fields at 0 it would be a sum."""
    pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")
    monkeypatch.setattr(tflite, f"OperatorCodeAdd{left_out}", lambda builder, number: None)
    model = Model([Tensor(n, [2]) for n in "abc"], [Operator("MAXIMUM", [0, 1], [2])], [0, 1], [2])
    a, b = np.array([3.0, -1.0], np.float32), np.array([1.0, 2.0], np.float32)
    [found] = native(model, tmp_path)(a, b)
    np.testing.assert_array_equal(found, [3.0, 2.0])
    np.testing.assert_array_equal(run_litert(model.to_bytes(), [[a, b]])[0][0], found)


def test_scales_of_blocks_are_refused_by_what_they_are(monkeypatch):
    end = tflite.QuantizationParametersEnd

    def end_of_blocks(builder: flatbuffers.Builder) -> int:
        tflite.QuantizationParametersAddDetailsType(builder, 2)
        return int(end(builder))

    monkeypatch.setattr(tflite, "QuantizationParametersEnd", end_of_blocks)
    weights = Tensor("w", [3, 2], "INT8", np.ones([3, 2], np.int8), Quantization([0.5], [0]))
    tensors = [Tensor("x", [1, 2]), weights, Tensor("y", [1, 3])]
    message = refusal(Model(tensors, [fully_connected([0, 1, -1], 2)], [0], [2]))
    assert "'w' has a scale for each block of elements, which is not supported" in message
