"""What the front end makes of TFLite operators, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
import tflite

from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.compiler.frontends.tflite import graph
from pytest_microtvm.compiler.frontends.tflite.call import Operand
from pytest_microtvm.compiler.frontends.tflite.operators import OPERATORS
from pytest_microtvm.compiler.frontends.tflite.options import fields_of
from pytest_microtvm.compiler.frontends.tflite_checks import enumeration
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.tflite_models import (
    Model,
    Operator,
    Quantization,
    Tensor,
    add,
    fully_connected,
    options,
)


def native(model: Model, directory: Path) -> NativeModel:
    directory.mkdir(exist_ok=True)
    path = directory / "net.tflite"
    path.write_bytes(model.to_bytes())
    return NativeModel(compile_to_files(path), directory)


def test_weights_of_dynamic_range_quantization_stay_small(tmp_path: Path):
    weights = np.random.default_rng(5).integers(-127, 128, (4, 30), np.int8)
    scales = [0.5, 0.25, 2.0, 1.0]
    tensors = [
        Tensor("x", [2, 30]),
        Tensor("w", [4, 30], "INT8", weights, Quantization(scales, [0] * 4)),
        Tensor("b", [4], data=np.arange(4, dtype=np.float32)),
        Tensor("y", [2, 4]),
    ]
    model = native(Model(tensors, [fully_connected([0, 1, 2], 3)], [0], [3]), tmp_path)
    x = np.random.default_rng(6).normal(size=(2, 30)).astype(np.float32)
    real = weights * np.array(scales, np.float32)[:, None]
    np.testing.assert_allclose(model(x)[0], x @ real.T + np.arange(4), rtol=1e-5, atol=1e-4)
    main = model.library.metadata["modules"]["net"]["memory"]["functions"]["main"][0]
    assert main["constants_size_bytes"] == weights.size + 4 * 4 + 4 * 4  # with bias and scales


@pytest.mark.parametrize("kind", ["INT4", "FLOAT16"])
def test_weights_of_four_bits_and_of_float16_stay_small(tmp_path: Path, kind: str):
    rng = np.random.default_rng(5)
    tensors = [Tensor("x", [2, 30]), Tensor("y", [2, 4])]
    if kind == "INT4":
        weights = rng.integers(-8, 8, (4, 30)).astype(np.int8)
        pairs = weights.reshape(-1, 2)
        packed = ((pairs[:, 0] & 15) | (pairs[:, 1] << 4)).astype(np.int8)
        tensors.append(Tensor("w", [4, 30], "INT4", packed, Quantization([0.5], [0])))
        real = weights * np.float32(0.5)
        operators = [fully_connected([0, 2], 1)]
        bytes_wanted = weights.size // 2
    else:
        halves = rng.normal(size=(4, 30)).astype(np.float16)
        tensors += [Tensor("h", [4, 30], "FLOAT16", halves), Tensor("w", [4, 30])]
        real = halves.astype(np.float32)
        operators = [Operator("DEQUANTIZE", [2], [3]), fully_connected([0, 3], 1)]
        bytes_wanted = 2 * halves.size
    model = native(Model(tensors, operators, [0], [1]), tmp_path)
    x = rng.normal(size=(2, 30)).astype(np.float32)
    np.testing.assert_allclose(model(x)[0], x @ real.T, rtol=1e-5, atol=1e-5)
    main = model.library.metadata["modules"]["net"]["memory"]["functions"]["main"][0]
    assert main["constants_size_bytes"] == bytes_wanted


def test_padding_of_quantized_tensors_is_their_zero(tmp_path: Path):
    paddings = np.array([[1, 2]], np.int32)
    quantization = Quantization([0.5], [-7])
    tensors = [
        Tensor("x", [3], "INT8", quantization=quantization),
        Tensor("p", [1, 2], "INT32", paddings),
        Tensor("y", [6], "INT8", quantization=quantization),
    ]
    model = native(Model(tensors, [Operator("PAD", [0, 1], [2])], [0], [2]), tmp_path)
    np.testing.assert_array_equal(model(np.array([5, 6, 9], np.int8))[0], [-7, 5, 6, 9, -7, -7])


@pytest.mark.parametrize(("scales", "axis"), [([0.5], 0), ([0.5, 2.0], 0), ([1.0, 2.0, 4.0], 1)])
def test_weights_are_scaled_along_their_axis(scales: list[float], axis: int):
    values = np.array([[1, -2, 3], [4, 5, -6]], np.int8)
    quantization = graph.Quantization(np.array(scales, np.float32), np.full(len(scales), 1), axis)
    tensor = graph.Tensor(0, "w", "int8", (2, 3), (2, 3), True, values, quantization)
    shape = (1, 1) if len(scales) == 1 else (-1, 1) if axis == 0 else (1, -1)
    expected = (values - 1.0) * np.reshape(scales, shape)
    result = Operand(tensor, values).known_real()
    assert result is not None
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, expected)


# Options: nothing that a file says may be lost.


def test_every_field_of_every_operator_s_options_is_read_or_known_not_to_matter():
    assert OPERATORS
    for name, registration in OPERATORS.items():
        assert name.startswith("CUSTOM ") or hasattr(tflite.BuiltinOperator, name)
        fields = set(fields_of(registration.options))
        assert {*registration.reads, *registration.ignored} == fields, name
        assert not set(registration.reads) & set(registration.ignored), name
        assert all(registration.ignored.values()), name


def test_operators_have_the_options_that_the_schema_calls_after_them():
    tables = {name.lower(): name for name in enumeration("BuiltinOptions").values()}
    for name, registration in OPERATORS.items():
        table = tables.get(name.replace("_", "").lower() + "options")
        if table is not None and not name.startswith("RESIZE"):
            assert registration.options == table, name


def test_a_field_that_nobody_reads_is_refused_unless_it_has_its_default(tmp_path, monkeypatch):
    def convert(given: str, value: bool) -> None:
        tensors = [Tensor("x", [4]), Tensor("y", [4])]
        operator = Operator("GELU", [0], [1], options("GeluOptions", **{given: value}))
        path = tmp_path / "net.tflite"
        path.write_bytes(Model(tensors, [operator], [0], [1]).to_bytes())
        compile_to_files(path)

    monkeypatch.setitem(
        OPERATORS, "GELU", replace(OPERATORS["GELU"], convert=lambda call: call.input(0).real)
    )
    convert("Approximate", False)
    with pytest.raises(ModelError, match=r"GELU \(output 'y'\): .*Approximate = True"):
        convert("Approximate", True)


@pytest.mark.parametrize("dtype", ["FLOAT32", "INT8", "INT32"])
def test_how_sums_of_int16_are_scaled_does_not_matter_to_other_types(dtype: str, tmp_path: Path):
    known = Quantization([0.1], [0]) if dtype == "INT8" else None
    tensors = [Tensor(name, [4], dtype, quantization=known) for name in "xy"]
    operator = Operator("ADD", [0, 0], [1], options("AddOptions", PotScaleInt16=False))
    path = tmp_path / "net.tflite"
    path.write_bytes(Model(tensors, [operator], [0], [1]).to_bytes())
    assert compile_to_files(path)


def refusal(model: Model, directory: Path) -> ModelError:
    path = directory / "net.tflite"
    path.write_bytes(model.to_bytes())
    with pytest.raises(ModelError) as caught:
        compile_to_files(path)
    return caught.value


def test_options_of_another_operator_are_refused(tmp_path: Path):
    operator = Operator("RELU", [0], [1], options("GeluOptions", Approximate=True))
    model = Model([Tensor("x", [4]), Tensor("y", [4])], [operator], [0], [1])
    assert "RELU (output 'y'): its options are GeluOptions" in str(refusal(model, tmp_path))


def test_a_version_that_is_not_known_is_refused(tmp_path: Path):
    model = Model([Tensor("x", [4]), Tensor("y", [4])], [], [0], [1])
    model.operators.append(Operator("RELU", [0], [1], version=99))
    message = str(refusal(model, tmp_path))
    assert "RELU (output 'y'): it is of version 99; known are versions up to 3" in message


def test_all_refused_operators_are_told_at_once_and_what_follows_from_them_is_not(tmp_path: Path):
    tensors = [Tensor(name, [4]) for name in ("x", "hashed", "skipped", "more", "y")]
    operators = [
        Operator("LSH_PROJECTION", [0], [1]),
        Operator("RELU", [1], [2]),
        Operator("SKIP_GRAM", [2], [3]),
        Operator("LSH_PROJECTION", [3], [4]),
    ]
    message = str(refusal(Model(tensors, operators, [0], [4]), tmp_path))
    assert "LSH_PROJECTION (output 'hashed' and 1 more): it is not supported" in message
    assert "SKIP_GRAM (output 'more'): it is not supported" in message
    assert "RELU" not in message


def test_a_result_of_another_type_or_shape_than_the_file_says_is_refused(tmp_path: Path):
    for output in (Tensor("y", [5]), Tensor("y", [4], "INT32")):
        model = Model([Tensor("x", [4]), output], [Operator("RELU", [0], [1])], [0], [1])
        message = str(refusal(model, tmp_path))
        assert "RELU (output 'y'): its output 'y' would be float32 (4,), but the file" in message


# Shapes that the file computes.


def integers(name: str, values: Any) -> Tensor:
    data = np.array(values, np.int32)
    return Tensor(name, list(data.shape), "INT32", data)


def test_a_shape_that_is_computed_from_the_batch_is_folded(tmp_path: Path):
    """As Keras 3 writes Flatten: SHAPE, STRIDED_SLICE, PACK, RESHAPE."""
    tensors = [
        Tensor("x", [1, 2, 3], shape_signature=[-1, 2, 3]),
        Tensor("shape", [3], "INT32"),
        integers("begin", [0]),
        integers("end", [1]),
        integers("strides", [1]),
        Tensor("batch", [], "INT32"),
        integers("rest", 6),
        Tensor("wanted", [2], "INT32"),
        Tensor("y", [1, 6], shape_signature=[-1, 6]),
    ]
    operators = [
        Operator("SHAPE", [0], [1], options("ShapeOptions", OutType=tflite.TensorType.INT32)),
        Operator(
            "STRIDED_SLICE", [1, 2, 3, 4], [5], options("StridedSliceOptions", ShrinkAxisMask=1)
        ),
        Operator("PACK", [5, 6], [7], options("PackOptions", ValuesCount=2)),
        Operator("RESHAPE", [0, 7], [8]),
    ]
    model = native(Model(tensors, operators, [0], [8]), tmp_path)
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    np.testing.assert_array_equal(model(x)[0], x.reshape(1, 6))


def test_one_element_of_an_axis_is_not_taken_backwards(tmp_path: Path):
    """LiteRT then has no elements at all, and says nothing."""
    bounds = [integers(*each) for each in (("begin", [1]), ("end", [2]), ("strides", [-1]))]
    tensors = [Tensor("x", [3]), *bounds, Tensor("y", [])]
    operator = Operator(
        "STRIDED_SLICE", [0, 1, 2, 3], [4], options("StridedSliceOptions", ShrinkAxisMask=1)
    )
    with pytest.raises(ModelError, match="by a step below 0"):
        native(Model(tensors, [operator], [0], [4]), tmp_path)


# Fused activations, types and shapes: what was wrong and passed.


@pytest.mark.parametrize("is_input", [False, True])
def test_a_transposed_convolution_keeps_its_activation(is_input: bool, tmp_path: Path):
    """Its shape is a constant, or an input that can only hold the one that the file says."""
    weights = np.random.default_rng(0).normal(size=(2, 2, 2, 3)).astype(np.float32)
    tensors = [
        Tensor("shape", [4], "INT32") if is_input else integers("shape", [1, 4, 4, 2]),
        Tensor("w", [2, 2, 2, 3], data=weights),
        Tensor("x", [1, 2, 2, 3]),
        Tensor("y", [1, 4, 4, 2]),
    ]
    activation = tflite.ActivationFunctionType.RELU
    operator = Operator(
        "TRANSPOSE_CONV",
        [0, 1, 2],
        [3],
        options(
            "TransposeConvOptions",
            Padding=tflite.Padding.VALID,
            StrideH=2,
            StrideW=2,
            FusedActivationFunction=activation,
        ),
    )
    x = np.random.default_rng(1).normal(size=(1, 2, 2, 3)).astype(np.float32)
    # With strides as large as the kernel, every input has a block of outputs for itself.
    blocks = np.einsum("nyxc,oijc->nyixjo", x, weights).reshape(1, 4, 4, 2)
    given = [np.array([1, 4, 4, 2], np.int32), x] if is_input else [x]
    inputs = [0, 2] if is_input else [2]
    [result] = native(Model(tensors, [operator], inputs, [3]), tmp_path)(*given)
    assert (blocks < 0).any()
    np.testing.assert_allclose(result, np.maximum(blocks, 0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stored", [(), (0,)], ids=["no option", "an old option"])
def test_a_shape_without_extents_is_that_of_a_number(stored: tuple[int, ...], tmp_path: Path):
    """Constants without elements have no data in the file."""
    tensors = [
        *(Tensor("x", [1]), Tensor("shape", [0], "INT32"), Tensor("number", [])),
        *(Tensor("filled", []), Tensor("margins", [0, 2], "INT32"), Tensor("y", [])),
        Tensor("sum", []),
    ]

    def new_shape(builder: flatbuffers.Builder) -> int:
        shape = builder.CreateNumpyVector(np.array(stored, np.int32))
        tflite.ReshapeOptionsStart(builder)
        tflite.ReshapeOptionsAddNewShape(builder, shape)
        return int(tflite.ReshapeOptionsEnd(builder))

    operators = [
        Operator("RESHAPE", [0, 1], [2], ("ReshapeOptions", new_shape)),
        *(Operator("FILL", [1, 2], [3]), Operator("PAD", [3, 4], [5]), add([5, 2], 6)),
    ]
    [result] = native(Model(tensors, operators, [0], [6]), tmp_path)(np.array([2.5], np.float32))
    assert result.shape == ()
    assert result == 5.0


def test_the_mean_of_integers_is_the_quotient_of_their_sum(tmp_path: Path):
    tensors = [Tensor("x", [2, 3], "INT32"), integers("axes", [1]), Tensor("y", [2], "INT32")]
    operator = Operator("MEAN", [0, 1], [2], options("ReducerOptions", KeepDims=False))
    x = np.array([[2**31 - 1, 2**31 - 1, 5], [-1, -3, -4]], np.int32)
    [result] = native(Model(tensors, [operator], [0], [2]), tmp_path)(x)
    np.testing.assert_array_equal(result, [1431655766, -2])


def test_the_place_of_a_boolean_is_found(tmp_path: Path):
    tensors = [Tensor("x", [2, 3], "BOOL"), integers("axis", 1), Tensor("y", [2], "INT32")]
    int32 = tflite.TensorType.INT32
    operator = Operator("ARG_MAX", [0, 1], [2], options("ArgMaxOptions", OutputType=int32))
    x = np.array([[False, True, True], [False, False, False]])
    [result] = native(Model(tensors, [operator], [0], [2]), tmp_path)(x)
    np.testing.assert_array_equal(result, [1, 0])


@pytest.mark.parametrize("is_known", [False, True], ids=["computed", "known"])
def test_floats_beyond_an_integer_type_are_its_least_or_its_greatest(is_known, tmp_path: Path):
    """Processors differ in what they make of these, and C leaves it open."""
    x = np.array([-0.9, -1e19, -129, 127.9, 128, 1e19, np.nan, 2.0**31], np.float32)
    tensors = [Tensor("x", [8], data=x if is_known else None), Tensor("same", [8], "INT8")]
    tensors += [Tensor(f"y{n}", [8], f"INT{n}") for n in (8, 32)]
    operators = [Operator("CAST", [0], [2]), Operator("CAST", [0], [3])]
    model = Model(tensors, operators, [1] if is_known else [0], [2, 3])
    given = np.zeros(8, np.int8) if is_known else x
    few, many = native(model, tmp_path)(given)
    np.testing.assert_array_equal(few, [0, -128, -128, 127, 127, 127, 127, 127])
    least, greatest = -(2**31), 2**31 - 1
    expected = [0, least, -129, 127, 128, greatest, greatest, greatest]
    np.testing.assert_array_equal(many, expected)


def test_squares_of_differences_of_int16_are_computed_over_integers(tmp_path: Path):
    scales = {"x": 2e-4, "y": 1.5e-4, "z": 0.004}
    tensors = [
        Tensor(name, [6], "INT16", quantization=Quantization([scale], [0]))
        for name, scale in scales.items()
    ]
    model = Model(tensors, [Operator("SQUARED_DIFFERENCE", [0, 1], [2])], [0, 1], [2])
    built = native(model, tmp_path)
    left = np.array([32767, -32768, 1000, -7, 12345, -20000], np.int16)
    right = np.array([-32768, 32767, -999, 9, 12000, -19000], np.int16)
    [result] = built(left, right)
    assert "float" not in built.text("*_lib0.c")
    # As TensorFlow Lite Micro's interpreter has it.
    np.testing.assert_array_equal(result, [32767, 32767, 31, 0, 112, 331])


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_zero_points_that_tflite_takes_for_none_are_refused(kind: str, tmp_path: Path):
    values = np.ones((1, 1, 1, 1), np.int8)
    tensors = [
        Tensor("x", [1, 2, 2, 1], "INT8", quantization=Quantization([0.1], [0])),
        Tensor("w", [1, 1, 1, 1], "INT8", values, Quantization([0.1], [3])),
        Tensor("y", [1, 2, 2, 1], "INT8", quantization=Quantization([0.1], [0])),
    ]
    table = {"CONV_2D": "Conv2DOptions"}.get(kind, "DepthwiseConv2DOptions")
    operator = Operator(kind, [0, 1], [2], options(table, StrideH=1, StrideW=1))
    model = Model(tensors, [operator], [0], [2])
    message = str(refusal(model, tmp_path))
    assert f"{kind} (output 'y'): its weights of int8 have the zero point 3, not 0" in message


def test_values_of_int16_that_are_joined_have_one_scale(tmp_path: Path):
    tensors = [
        Tensor("a", [2], "INT16", quantization=Quantization([0.1], [0])),
        Tensor("b", [2], "INT16", quantization=Quantization([0.2], [0])),
        Tensor("y", [4], "INT16", quantization=Quantization([0.2], [0])),
    ]
    operator = Operator("CONCATENATION", [0, 1], [2], options("ConcatenationOptions", Axis=0))
    message = str(refusal(Model(tensors, [operator], [0, 1], [2]), tmp_path))
    assert "it moves values from one quantization to another" in message


def test_a_gather_with_batch_axes_takes_of_each_batch_its_own(tmp_path: Path):
    tensors = [
        Tensor("x", [2, 4, 3]),
        integers("places", [[3, 0], [1, 1]]),
        Tensor("y", [2, 2, 3]),
    ]
    operator = Operator("GATHER", [0, 1], [2], options("GatherOptions", Axis=1, BatchDims=1))
    x = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    [result] = native(Model(tensors, [operator], [0], [2]), tmp_path)(x)
    np.testing.assert_array_equal(result, [x[0, [3, 0]], x[1, [1, 1]]])
    tensors[1] = Tensor("places", [2, 2], "INT32")
    computed = native(Model(tensors, [operator], [0, 1], [2]), tmp_path / "computed")
    places = np.array([[3, 0], [1, 1]], np.int32)
    np.testing.assert_array_equal(computed(x, places)[0], result)
    assert [spec.index_limit for spec in computed.library.inputs] == [None, 4]


@pytest.mark.parametrize("dtype", ["FLOAT32", "INT8"])
def test_the_place_of_the_greatest_element_has_the_file_s_type(dtype: str, tmp_path: Path):
    known = Quantization([0.5], [3]) if dtype == "INT8" else None
    tensors = [
        Tensor("x", [2, 5], dtype, None, known),
        integers("axis", 1),
        Tensor("y", [2], "INT32"),
    ]
    int32 = options("ArgMaxOptions", OutputType=tflite.TensorType.INT32)
    model = native(Model(tensors, [Operator("ARG_MAX", [0, 1], [2], int32)], [0], [2]), tmp_path)
    x = np.array([[1, 7, -3, 7, 0], [-5, -4, -9, -8, -6]]).astype(dtype.lower())
    [result] = model(x)
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, [1, 1])


# How constants are stored.


@pytest.mark.parametrize(
    ("dtype", "packed", "weights"),
    [
        # 0xF, 1, 7; 8, 0, 2 as signed numbers of 4 bits, and 3, 1, 2; 0, 1, 3 of 2 bits.
        ("INT4", [0x1F, 0x87, 0x20], [[-1, 1, 7], [-8, 0, 2]]),
        ("INT2", [0b00100111, 0b1101], [[-1, 1, -2], [0, 1, -1]]),
    ],
)
def test_weights_of_less_than_a_byte_are_unpacked(
    dtype: str, packed: list[int], weights: list[list[int]], tmp_path: Path
):
    content = np.array(packed, np.uint8)
    tensors = [
        Tensor("x", [1, 3], "INT8", None, Quantization([1.0], [0])),
        Tensor("w", [2, 3], dtype, content, Quantization([1.0], [0])),
        Tensor("y", [1, 2], "INT8", None, Quantization([1.0], [0])),
    ]
    model = Model(tensors, [fully_connected([0, 1], 2)], [0], [2])
    x = np.array([[1, 2, 3]], np.int8)
    [result] = native(model, tmp_path)(x)
    np.testing.assert_array_equal(result, x @ np.array(weights).T)


def test_float16_constants_become_floats(tmp_path: Path):
    half = np.array([0.5, -2.25, 3.0, 1.0], np.float16)
    tensors = [
        Tensor("x", [4]),
        Tensor("h", [4], "FLOAT16", half),
        Tensor("f", [4]),
        Tensor("y", [4]),
    ]
    operators = [Operator("DEQUANTIZE", [1], [2]), add([0, 2], 3)]
    [result] = native(Model(tensors, operators, [0], [3]), tmp_path)(np.ones(4, np.float32))
    np.testing.assert_array_equal(result, half.astype(np.float32) + 1)
