"""Layers that keep a state in a tensor of the file."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call, constant
from pytest_microtvm.compiler.frontends.tflite.operators.tables import (
    factor_of,
    one_quantization,
)
from pytest_microtvm.compiler.frontends.tflite.registry import operator
from pytest_microtvm.compiler.quantized.arithmetic import LIMITS
from pytest_microtvm.compiler.quantized.tensors import Quantization
from pytest_microtvm.compiler.quantized.tflite_specs import SvdfOutput, SvdfState


@operator(
    "SVDF",
    versions=4,
    options="SVDFOptions",
    reads=("Rank", "FusedActivationFunction"),
    ignored={"AsymmetricQuantizeInputs": "weights of a float layer become floats"},
)
def svdf(call: Call) -> Any:
    """Filters over the input, whose latest results are filtered again over time."""
    rank, activation = call.options["Rank"], call.activation()
    data, state = call.input(0), call.input(4)
    filters, inputs = call.input(1).shape
    memory = call.input(2).shape[1]
    is_shaped = (
        rank >= 1
        and filters % rank == 0
        and data.shape[1:] == (inputs,)
        and state.shape == (data.shape[0], filters * memory)
        and call.input(2).shape == (filters, memory)
    )
    if not is_shaped or not state.tensor.is_variable:
        raise call.refusal("its tensors do not have the shapes that it wants")
    if data.is_quantized:
        return _svdf_of_integers(call, rank, activation)
    return _svdf_of_floats(call, rank, activation)


def _svdf_of_integers(call: Call, rank: int, activation: str) -> Any:
    data, features, times, state = (call.input(i) for i in (0, 1, 2, 4))
    bias = call.optional(3)
    known = [one_quantization(t) for t in (data, features, times, state, call.output)]
    source, by_feature, by_time, kept, output = known
    dtypes = data.dtype, features.dtype, call.output.dtype
    if source is None or by_feature is None or by_time is None or kept is None or output is None:
        raise call.refusal("some of its tensors have no scale, or more than one")
    if dtypes != ("int8",) * 3 or state.dtype not in ("int8", "int16"):
        raise call.refusal(f"it has the element types {dtypes} and a state of {state.dtype}")
    if by_feature.zero_point or by_time.zero_point:
        raise call.refusal("its weights have a zero point")
    if activation not in ("NONE", "RELU"):
        raise call.refusal(f"the activation {activation} of integers is not supported")
    feature_weights, time_weights = features.value, times.value
    if feature_weights is None or time_weights is None or (bias and bias.value is None):
        raise call.refusal("its weights are computed at run time")
    # TFLite multiplies and divides in float32, and takes an activation for a matter of the scale.
    first = float(source.scale * by_feature.scale / kept.scale)
    second = float(kept.scale * by_time.scale / output.scale)
    bounds = LIMITS[state.dtype]
    newest = SvdfState(
        data.shape[0],
        time_weights.shape[1],
        feature_weights,
        source.zero_point,
        factor_of(first, Quantization(kept.scale, 0), state.dtype, bounds=bounds),
        data.dtype,
        kept.zero_point,
    )
    inputs = [data.expression, state.expression]
    changed = call.emitted(
        call.kernel("svdf_state", newest, inputs, state.shape, dtype=state.dtype)
    )
    call.states.assign_tensor(state.tensor, changed)
    result = SvdfOutput(
        data.shape[0],
        rank,
        time_weights,
        None if bias is None else bias.value,
        factor_of(second, output, "int8"),
        state.dtype,
        kept.zero_point,
    )
    shape = (data.shape[0], feature_weights.shape[0] // rank)
    return call.kernel("svdf", result, [changed], shape)


def _svdf_of_floats(call: Call, rank: int, activation: str) -> Any:
    data, state, bias = call.input(0), call.input(4), call.optional(3)
    features, times = (call.input(i).known_real() for i in (1, 2))
    if features is None or times is None:
        raise call.refusal("its weights are computed at run time")
    rows, (filters, memory) = data.shape[0], times.shape
    newest = relax.op.matmul(data.real, constant(np.ascontiguousarray(features.T)))
    newest = relax.op.reshape(newest, [rows, filters, 1])
    before = relax.op.reshape(state.expression, [rows, filters, memory])
    changed = newest
    if memory > 1:
        kept = relax.op.strided_slice(before, [2], [1], [memory])
        changed = relax.op.concat([kept, newest], 2)
    changed = call.emitted(changed)
    flat = call.emitted(relax.op.reshape(changed, [rows, filters * memory]))
    call.states.assign_tensor(state.tensor, flat)
    weighted = relax.op.multiply(changed, constant(times[None]))
    grouped = relax.op.reshape(weighted, [rows, filters // rank, rank * memory])
    result = relax.op.sum(grouped, [2])
    if bias is not None:
        result = relax.op.add(result, bias.real)
    return call.activated(result, activation)
