"""Pools."""

from __future__ import annotations

from typing import Any

from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call
from pytest_microtvm.compiler.frontends.tflite.operators.windows import padding_of
from pytest_microtvm.compiler.frontends.tflite.registry import operator

_READS = (
    "Padding",
    "StrideW",
    "StrideH",
    "FilterWidth",
    "FilterHeight",
    "FusedActivationFunction",
)


def _window(call: Call) -> dict[str, Any]:
    taps = call.options["FilterHeight"], call.options["FilterWidth"]
    strides = call.options["StrideH"], call.options["StrideW"]
    if min(*taps, *strides) < 1:
        raise call.refusal(f"it has the window {taps} and the strides {strides}")
    return {
        "pool_size": taps,
        "strides": strides,
        "padding": padding_of(call, call.input(0).shape[1:3], taps, strides),
        "layout": "NHWC",
    }


@operator("AVERAGE_POOL_2D", versions=3, options="Pool2DOptions", reads=_READS)
def average_pool_2d(call: Call) -> Any:
    """The means of windows, over what is inside of the image."""
    data = call.input(0)
    window = _window(call)
    if not data.is_quantized:
        means = relax.op.nn.avg_pool2d(data.expression, **window)
        return call.activated(means, call.activation())
    call.require_same_quantization()
    widened = relax.op.astype(data.expression, "int32")
    means = relax.op.astype(relax.op.nn.avg_pool2d(widened, **window), data.dtype)
    return call.bounded(means, call.activation())


@operator("MAX_POOL_2D", versions=3, options="Pool2DOptions", reads=_READS)
def max_pool_2d(call: Call) -> Any:
    """The greatest elements of windows."""
    data = call.input(0)
    call.require_same_quantization()
    result = relax.op.nn.max_pool2d(data.expression, **_window(call))
    if data.is_quantized:
        return call.bounded(result, call.activation())
    return call.activated(result, call.activation())


@operator("L2_POOL_2D", options="Pool2DOptions", reads=_READS)
def l2_pool_2d(call: Call) -> Any:
    """The roots of the means of squares."""
    real = call.input(0).real
    means = relax.op.nn.avg_pool2d(relax.op.multiply(real, real), **_window(call))
    return call.finished(relax.op.sqrt(means), call.activation())
