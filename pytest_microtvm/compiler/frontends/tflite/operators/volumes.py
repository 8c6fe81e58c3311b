"""Convolutions of volumes: images with a depth, or a sequence of them; of floats alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tflite
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call, Operand
from pytest_microtvm.compiler.frontends.tflite.operators.convolution import (
    biased,
    real_data,
    transposed_weights,
)
from pytest_microtvm.compiler.frontends.tflite.operators.windows import same_padding
from pytest_microtvm.compiler.frontends.tflite.registry import operator

_READS = (
    *("Padding", "StrideD", "StrideH", "StrideW", "FusedActivationFunction"),
    *("DilationDFactor", "DilationHFactor", "DilationWFactor"),
)


@operator("CONV_3D", options="Conv3DOptions", reads=_READS)
def conv_3d(call: Call) -> Any:
    """NDHWC volumes; weights [depth, height, width, input channels, output channels]."""
    data, weights = call.input(0), call.input(1)
    _require_floats(call, data)
    if weights.shape[3] != data.shape[4]:
        raise call.refusal("its weights do not fit the channels of its input")
    strides, dilation = _steps(call)
    pairs = _padding(call, data.shape[1:4], weights.shape[:3], strides, dilation)
    result = relax.op.nn.conv3d(
        real_data(data),
        transposed_weights(data, weights, (0, 1, 2, 3, 4)),
        strides=strides,
        padding=[before for before, _ in pairs] + [after for _, after in pairs],
        dilation=dilation,
        data_layout="NDHWC",
        kernel_layout="DHWIO",
    )
    return call.finished(biased(call, result, data, weights, 2), call.activation())


@operator("CONV_3D_TRANSPOSE", options="Conv3DOptions", reads=_READS)
def conv_3d_transpose(call: Call) -> Any:
    """The gradient of a convolution; weights [depth, height, width, outputs, inputs]."""
    data, weights = call.input(2), call.input(1)
    _require_floats(call, data)
    shape = call.output_shape(0)
    if len(shape) != 5 or weights.shape[3:] != (shape[4], data.shape[4]):
        raise call.refusal("its weights do not fit the channels of its input and output")
    strides, dilation = _steps(call)
    if dilation != [1, 1, 1]:
        raise call.refusal(f"it has the dilation {dilation}")
    taps = weights.shape[:3]
    pairs = _padding(call, shape[1:4], taps, strides, dilation)
    # What the result has beyond the last place that the weights reach, or less.
    extra = [
        extent + sum(pair) - (n - 1) * stride - tap
        for extent, pair, n, stride, tap in zip(
            shape[1:4], pairs, data.shape[1:4], strides, taps, strict=True
        )
    ]
    after = [pair[1] - min(0, rest) for pair, rest in zip(pairs, extra, strict=True)]
    result = relax.op.nn.conv3d_transpose(
        relax.op.permute_dims(real_data(data), [0, 4, 1, 2, 3]),
        transposed_weights(data, weights, (4, 3, 0, 1, 2)),
        strides=strides,
        padding=[before for before, _ in pairs] + after,
        output_padding=[max(0, rest) for rest in extra],
    )
    result = relax.op.permute_dims(result, [0, 2, 3, 4, 1])
    return call.finished(biased(call, result, data, weights, 3), call.activation())


def _require_floats(call: Call, data: Operand) -> None:
    if data.dtype != "float32" or data.rank != 5:
        raise call.refusal(
            f"its input is of {data.dtype} and of shape {data.shape}, not a volume of floats",
            "quantize the model without this operator: the converter leaves it in float",
        )


def _steps(call: Call) -> tuple[list[int], list[int]]:
    """Strides and dilation of depth, height and width."""
    strides = [call.options[f"Stride{axis}"] for axis in "DHW"]
    dilation = [call.options[f"Dilation{axis}Factor"] for axis in "DHW"]
    if min(*strides, *dilation) < 1:
        raise call.refusal(f"it has the strides {strides} and the dilation {dilation}")
    return strides, dilation


def _padding(
    call: Call,
    volume: Sequence[int],
    taps: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
) -> list[tuple[int, int]]:
    """What is put before and after each axis."""
    kind = call.options["Padding"]
    if kind not in (tflite.Padding.VALID, tflite.Padding.SAME):
        raise call.refusal(f"it has the padding {kind}, which is not known")
    if kind == tflite.Padding.VALID:
        return [(0, 0)] * 3
    spans = [(tap - 1) * gap + 1 for tap, gap in zip(taps, dilation, strict=True)]
    return [same_padding(*extents) for extents in zip(volume, spans, strides, strict=True)]
