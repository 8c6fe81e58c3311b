"""Rows, or neighborhoods, held to a common measure."""

from __future__ import annotations

from typing import Any

from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call
from pytest_microtvm.compiler.frontends.tflite.registry import operator


@operator("SOFTMAX", versions=3, options="SoftmaxOptions", reads=("Beta",))
def softmax(call: Call) -> Any:
    """Softmax of `beta * x` over the last axis."""
    real = call.input(0).real
    beta = call.options["Beta"]
    # Files without options have no beta to speak of.
    if beta not in (0.0, 1.0):
        real = relax.op.multiply(real, relax.const(beta, "float32"))
    return call.finished(relax.op.nn.softmax(real, axis=-1))


@operator("LOG_SOFTMAX", versions=2, options="LogSoftmaxOptions")
def log_softmax(call: Call) -> Any:
    """The logarithm of softmax over the last axis."""
    return call.finished(relax.op.nn.log_softmax(call.input(0).real, axis=-1))


@operator(
    "L2_NORMALIZATION", versions=2, options="L2NormOptions", reads=("FusedActivationFunction",)
)
def l2_normalization(call: Call) -> Any:
    """The last axis divided by its norm; by 1e-6 where that is less."""
    real = call.emitted(call.input(0).real)
    squares = relax.op.sum(relax.op.multiply(real, real), axis=[-1], keepdims=True)
    norm = relax.op.maximum(relax.op.sqrt(squares), relax.const(1e-6, "float32"))
    return call.finished(relax.op.divide(real, norm), call.activation())


@operator(
    "LOCAL_RESPONSE_NORMALIZATION",
    options="LocalResponseNormalizationOptions",
    reads=("Radius", "Bias", "Alpha", "Beta"),
)
def local_response_normalization(call: Call) -> Any:
    """Each channel divided by a power of the squares of the channels around it."""
    real = call.emitted(call.input(0).real)
    radius, channels = call.options["Radius"], call.input(0).shape[-1]
    squares = call.emitted(relax.op.multiply(real, real))
    widths = [0] * (2 * call.input(0).rank - 2) + [radius, radius]
    padded = call.emitted(relax.op.nn.pad(squares, widths))
    total = None
    for offset in range(2 * radius + 1):
        part = relax.op.strided_slice(padded, [-1], [offset], [offset + channels])
        total = part if total is None else relax.op.add(total, part)
    scaled = relax.op.multiply(total, relax.const(call.options["Alpha"], "float32"))
    biased = relax.op.add(scaled, relax.const(call.options["Bias"], "float32"))
    power = relax.op.power(biased, relax.const(-call.options["Beta"], "float32"))
    return call.finished(relax.op.multiply(real, power))
