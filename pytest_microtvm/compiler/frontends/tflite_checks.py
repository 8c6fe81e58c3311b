"""What a TFLite model may say: quantization, options of operators, and who writes which tensor.

LiteRT refuses much of this itself, crashes on some of it, and a converter would make of it what the
model does not mean. Structure (offsets, indices, sizes) is checked by `tflite_file` before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import flatbuffers
import numpy as np
import tflite

from pytest_microtvm.compiler.limits import check_operators, check_tensor
from pytest_microtvm.errors import ModelError

EXPORT_CURE = "export the model again, with a converter that writes what TensorFlow Lite defines"

ELEMENT_BYTES = {
    "BOOL": 1,
    "FLOAT16": 2,
    "FLOAT32": 4,
    "FLOAT64": 8,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
}
"""Types of whole bytes."""

_LATER_TYPES = {18: "BFLOAT16", 19: "INT2", 20: "UINT4"}
"""Types of TFLite's schema that the `tflite` package does not know yet."""

_RANGES = {
    "INT2": (-2, 1),
    "INT4": (-8, 7),
    "UINT4": (0, 15),
    **{
        name: (int(np.iinfo(name.lower()).min), int(np.iinfo(name.lower()).max))
        for name in ELEMENT_BYTES
        if "INT" in name
    },
}
"""Types that can be quantized, and their values."""

_STEPS = ("StrideH", "StrideW")
_DILATIONS = ("DilationHFactor", "DilationWFactor")
_POOL = ("Pool2DOptions", (*_STEPS, "FilterHeight", "FilterWidth"))
_CONV_3D = ("Conv3DOptions", (*_STEPS, *_DILATIONS, "StrideD", "DilationDFactor"))
_POSITIVE: dict[str, tuple[str, tuple[str, ...]]] = {
    "AVERAGE_POOL_2D": _POOL,
    "CONV_2D": ("Conv2DOptions", (*_STEPS, *_DILATIONS)),
    "CONV_3D": _CONV_3D,
    "CONV_3D_TRANSPOSE": _CONV_3D,
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", (*_STEPS, *_DILATIONS)),
    "DEPTH_TO_SPACE": ("DepthToSpaceOptions", ("BlockSize",)),
    "L2_POOL_2D": _POOL,
    "MAX_POOL_2D": _POOL,
    "SPACE_TO_DEPTH": ("SpaceToDepthOptions", ("BlockSize",)),
    "TRANSPOSE_CONV": ("TransposeConvOptions", _STEPS),
}
"""Operators that divide by what their options say: the table, and what has to be 1 or more."""

_ENUMERATIONS = {"Padding": "Padding", "FusedActivationFunction": "ActivationFunctionType"}
"""Options that are one of few numbers, and the enumeration that has them."""


_MAX_SCALE = 1e12
"""Beyond it, LiteRT's comparisons of quantized tensors overflow."""

_VIEWS = ("EXPAND_DIMS", "RESHAPE", "SELECT_V2", "SHAPE", "SQUEEZE", "TRANSPOSE")
_BUILTIN_CODE = 10
"""Where tables of the schema say where `builtin_code` of an OperatorCode is."""

_BLOCKWISE = 2
"""Of the schema's kinds of quantization, the one whose scales are a tensor of their own."""

_MIN_SCALE = float(np.finfo(np.float32).smallest_subnormal)

_OF_ANY_SCALE = {"inputs": (*_VIEWS, "SOFTMAX"), "outputs": (*_VIEWS, "MUL")}
"""Operators that are exact beyond it: between them are the masks of attention, whose converters
quantize the least number of float32."""

_SUM_LIMIT = 1 << 47
"""Beyond it, LiteRT's sums of int16 overflow as they are rescaled."""

_OF_ONE_SCALE = ("MAXIMUM", "MINIMUM")
"""Operators that LiteRT computes over stored values, whatever these stand for."""

_RESCALING = (
    *("ADD", "BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "ELU", "EXP", "FULLY_CONNECTED"),
    *("GELU", "HARD_SWISH", "L2_NORMALIZATION", "LEAKY_RELU", "LOG", "LOGISTIC", "LOG_SOFTMAX"),
    *("MEAN", "MUL", "PRELU", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "RSQRT", "SOFTMAX"),
    *("SQRT", "SQUARED_DIFFERENCE", "SUB", "TANH", "TRANSPOSE_CONV"),
)
"""Operators that LiteRT computes by the scales of their tensors: without them it divides by 0."""

_IGNORED_ACTIVATIONS = ("TANH", "SIGN_BIT")
_RECURRENT = ("LSTM", "RNN", "SVDF")
"""Ends of the names of operators that know them."""


@cache
def enumeration(name: str) -> dict[int, str]:
    """Names of the values of an enumeration of the `tflite` package."""
    members = vars(getattr(tflite, name))
    return {value: key for key, value in members.items() if isinstance(value, int)}


def type_name(tensor: Any) -> str:
    """The name of a tensor's element type."""
    code = tensor.Type()
    return {**_LATER_TYPES, **enumeration("TensorType")}.get(code, f"number {code}")


def tensor_name(tensor: Any) -> str:
    """A tensor's name, whatever its bytes are."""
    name = tensor.Name()
    return "" if name is None else str(name.decode("utf-8", errors="replace"))


def operator_name(model: Any, operator: Any) -> str:
    """The name of an operator's builtin code."""
    number = builtin_number(model.OperatorCodes(operator.OpcodeIndex()))
    return enumeration("BuiltinOperator").get(number, f"number {number}")


def builtin_number(code: Any) -> int:
    """The number of a builtin operator: the greater of two fields, either of which may be left out.

    `BuiltinCode()` of the package gives the older field where the newer one is below 127.
    """
    offset = code._tab.Offset(_BUILTIN_CODE)
    newer = 0
    if offset:
        newer = code._tab.Get(flatbuffers.number_types.Int32Flags, offset + code._tab.Pos)
    return int(max(newer, code.DeprecatedBuiltinCode()))


def indices(array: Any) -> list[int]:
    """A vector of tensor indices; flatbuffers give 0 for one that is absent."""
    return [] if isinstance(array, int) else [int(index) for index in array]


def is_quantizable(tensor: Any) -> bool:
    """Whether a scale means something; LiteRT ignores those of floats and booleans."""
    return type_name(tensor) in _RANGES


def check_model(model: Any) -> None:
    """Check every subgraph of a model.

    Args:
        model: A `tflite.Model` whose structure holds together.

    Raises:
        ModelError: It is too large, or says what means nothing.
    """
    graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    check_operators(sum(graph.OperatorsLength() for graph in graphs))
    for graph in graphs:
        tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
        operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
        scaled = _scaled_tensors(model, operators)
        computed = _touched(model, operators, lambda name: name not in ("QUANTIZE", "DEQUANTIZE"))
        # Of 0 times something the scale does not matter.
        factors = computed - _touched(model, operators, lambda name: name != "MUL")
        for index, tensor in enumerate(tensors):
            _check_size(tensor)
            buffer = model.Buffers(tensor.Buffer())
            data = buffer.DataAsNumpy() if buffer.DataLength() else b""
            most = _MAX_SCALE if index in scaled else np.inf
            least = 0 if index in factors and len(data) > 0 and not any(data) else _MIN_SCALE
            _check_quantization(tensor, data, (least, most), index in computed)
        for operator in operators:
            name = operator_name(model, operator)
            _check_options(name, operator)
            if name in ("ARG_MAX", "ARG_MIN"):
                _check_output_type(name, operator, tensors)
            if name in _RESCALING:
                _check_scaled(name, operator, tensors)
            if name in _OF_ONE_SCALE:
                _check_scales(name, operator, tensors)
        _check_flow(model, graph, tensors, operators)


def _check_output_type(name: str, operator: Any, tensors: list[Any]) -> None:
    """What the options say of an operator's output is what the tensor says."""
    options = _options(
        operator, enumeration("BuiltinOptions").get(operator.BuiltinOptionsType(), "")
    )
    for index in _present(operator.OutputsAsNumpy):
        if options is not None and options.OutputType() != tensors[index].Type():
            raise _wrong(tensors[index], f"is of another type than the options of {name} say")


def _check_scaled(name: str, operator: Any, tensors: list[Any]) -> None:
    """The tensors of bytes of an operator that rescales are quantized."""
    for index in (*_present(operator.InputsAsNumpy), *_present(operator.OutputsAsNumpy)):
        quantization = tensors[index].Quantization()
        if type_name(tensors[index]) in ("INT8", "UINT8") and (
            quantization is None or quantization.ScaleLength() == 0
        ):
            raise _wrong(tensors[index], f"has no scale, which {name} needs")


def _check_scales(name: str, operator: Any, tensors: list[Any]) -> None:
    """All quantized tensors of an operator have the same scale and zero point."""
    found = set()
    for index in (*_present(operator.InputsAsNumpy), *_present(operator.OutputsAsNumpy)):
        quantization = tensors[index].Quantization()
        if is_quantizable(tensors[index]) and quantization is not None:
            scales, zero_points = quantization.ScaleAsNumpy(), quantization.ZeroPointAsNumpy()
            if not isinstance(scales, int):
                found.add((scales.tobytes(), zero_points.tobytes()))
    if len(found) > 1:
        raise ModelError(
            f"{name} has tensors of several quantizations, which TensorFlow Lite takes for one",
            cure=EXPORT_CURE,
        )


def _check_size(tensor: Any) -> None:
    shape = list(indices(tensor.ShapeAsNumpy()))
    if not tensor.IsVariable():  # of other tensors the operators say what is open here
        shape = [extent if extent >= 0 else 1 for extent in shape]
    what = f"the tensor {tensor_name(tensor)!r}"
    check_tensor(what, shape, ELEMENT_BYTES.get(type_name(tensor), 1))


def _scaled_tensors(model: Any, operators: list[Any]) -> set[int]:
    """The tensors of operators that compute with scales."""
    found: set[int] = set()
    for operator in operators:
        name = operator_name(model, operator)
        if name not in _OF_ANY_SCALE["inputs"]:
            found.update(_present(operator.InputsAsNumpy))
        if name not in _OF_ANY_SCALE["outputs"]:
            found.update(_present(operator.OutputsAsNumpy))
    return found


def _touched(model: Any, operators: list[Any], counts: Callable[[str], bool]) -> set[int]:
    """The tensors that operators of certain names read or write."""
    found: set[int] = set()
    for operator in operators:
        if counts(operator_name(model, operator)):
            found.update(_present(operator.InputsAsNumpy))
            found.update(_present(operator.OutputsAsNumpy))
    return found


def _check_quantization(
    tensor: Any, data: Any, scale_range: tuple[float, float], is_computed: bool
) -> None:
    """Check what a tensor says of its quantization, and the bytes of a constant against it."""
    quantization = tensor.Quantization()
    if quantization is not None and quantization.DetailsType() == _BLOCKWISE:
        raise ModelError(
            f"the tensor {tensor_name(tensor)!r} has a scale for each block of elements, which is "
            "not supported",
            cure="quantize weights by one scale for each channel",
        )
    if quantization is None or quantization.ScaleLength() == 0 or not is_quantizable(tensor):
        return
    scales, zero_points = quantization.ScaleAsNumpy(), quantization.ZeroPointAsNumpy()
    if isinstance(zero_points, int) or len(zero_points) not in (1, len(scales)):
        raise _wrong(tensor, "does not have as many zero points as scales")
    least, most = scale_range
    for scale in scales:
        if not least <= scale < most:
            what = f"not a number above 0 and below {most:g}"
            raise _wrong(tensor, f"has the scale {float(scale):g}, {what}")
    low, high = _RANGES[type_name(tensor)]
    for zero_point in zero_points:
        if not low <= zero_point <= high:
            raise _wrong(tensor, f"has the zero point {int(zero_point)}, outside of {low}..{high}")
    # Wide constants are biases, whose zero points LiteRT takes for 0; so are those of one per axis.
    is_symmetric = (len(scales) > 1 and is_computed) or (
        len(data) > 0 and type_name(tensor) in ("INT32", "INT64")
    )
    if is_symmetric and any(zero_points):
        raise _wrong(tensor, f"has the zero point {int(max(zero_points, key=abs))}, not 0")
    if type_name(tensor) == "INT64" and len(data) % 8 == 0:
        values = np.frombuffer(data, "<i8")
        if np.any((values < -_SUM_LIMIT) | (values >= _SUM_LIMIT)):
            raise _wrong(tensor, "holds a bias of more than the 48 bits that are rescaled")
    shape = indices(tensor.ShapeAsNumpy())
    if len(scales) == 1:
        return
    # Biases of some converters name the axis of their weights.
    axis = 0 if len(shape) == 1 else int(quantization.QuantizedDimension())
    if not 0 <= axis < len(shape) or shape[axis] != len(scales):
        raise _wrong(tensor, f"has {len(scales)} scales for the axis {axis} of the shape {shape}")


def _wrong(tensor: Any, what: str) -> ModelError:
    return ModelError(f"the tensor {tensor_name(tensor)!r} {what}", cure=EXPORT_CURE)


def _check_options(name: str, operator: Any) -> None:
    kind = enumeration("BuiltinOptions").get(operator.BuiltinOptionsType(), "NONE")
    expected, positive = _POSITIVE.get(name, (kind, ()))
    if kind != expected or (positive and operator.BuiltinOptions() is None):
        raise ModelError(f"{name} lacks its options", cure=EXPORT_CURE)
    options = _options(operator, kind)
    if options is None:
        return
    for option in positive:
        if getattr(options, option)() < 1:
            raise ModelError(
                f"{name} has the {_words(option)} "
                f"{getattr(options, option)()}, not one of 1 or more",
                cure=EXPORT_CURE,
            )
    for option, values in _ENUMERATIONS.items():
        value = getattr(options, option, lambda: 0)()
        if value not in enumeration(values):
            raise ModelError(f"{name} has the unknown {_words(option)} {value}", cure=EXPORT_CURE)
    activation = getattr(options, "FusedActivationFunction", lambda: 0)()
    activation_name = enumeration("ActivationFunctionType").get(activation)
    if activation_name in _IGNORED_ACTIVATIONS and not name.endswith(_RECURRENT):
        raise ModelError(
            f"{name} has the fused activation {activation_name}, which TensorFlow Lite ignores",
            cure="export the model with the activation as an operator of its own",
        )
    if name.startswith("RESIZE_") and options.AlignCorners() and options.HalfPixelCenters():
        raise ModelError(
            f"{name} is to align corners and to use half pixel centers, which exclude each other",
            cure="export the model with one of align_corners and half_pixel_centers",
        )


def _options(operator: Any, kind: str) -> Any:
    """The options of an operator, as the table that they are."""
    table = operator.BuiltinOptions()
    reader = getattr(tflite, kind, None)
    if table is None or reader is None:
        return None
    options = reader()
    options.Init(table.Bytes, table.Pos)
    return options


def _words(option: str) -> str:
    """`StrideH` as "stride h"."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in option).strip()


def _check_flow(model: Any, graph: Any, tensors: list[Any], operators: list[Any]) -> None:
    """Every tensor is written once, by an operator or from outside, and before it is read."""
    is_there = [_is_given(model, tensor) for tensor in tensors]
    for index in indices(graph.InputsAsNumpy()):
        if is_there[index] and _has_elements(tensors[index]):
            raise _wrong(tensors[index], "is an input twice, or a constant as well")
        is_there[index] = True
    for operator in operators:
        name = operator_name(model, operator)
        for index in _present(operator.InputsAsNumpy):
            # Custom operators may have scratch memory among their inputs.
            if not is_there[index] and name != "CUSTOM":
                raise _wrong(tensors[index], f"is read by {name} before anything writes it")
        for index in _present(operator.OutputsAsNumpy):
            tensor = tensors[index]
            if is_there[index] and _has_elements(tensor) and not tensor.IsVariable():
                raise _wrong(
                    tensor,
                    f"is written by {name}, but is an input, a constant or written already",
                )
            is_there[index] = True
    for index in indices(graph.OutputsAsNumpy()):
        if not is_there[index]:
            raise _wrong(tensors[index], "is an output that nothing writes")


def _present(read: Callable[[], Any]) -> Iterator[int]:
    return (index for index in indices(read()) if index >= 0)


def _is_given(model: Any, tensor: Any) -> bool:
    """Whether a tensor is there before anything ran: a constant, a state, or nothing at all."""
    return (
        model.Buffers(tensor.Buffer()).DataLength() > 0
        or bool(tensor.IsVariable())
        or not _has_elements(tensor)
    )


def _has_elements(tensor: Any) -> bool:
    return 0 not in indices(tensor.ShapeAsNumpy())
