"""Quantization as PT2E writes it, in the form that integer kernels are recognized in."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.torch.call import (
    Call,
    Refusal,
    constant,
    dtype_of,
    known,
)
from pytest_microtvm.compiler.frontends.torch.registry import operator


@operator("quantized_decomposed::quantize_per_tensor", "quantized_decomposed::quantize_per_channel")
def quantize(
    call: Call,
    input: Any,  # noqa: A002
    quant_min: int,
    quant_max: int,
    dtype: Any,
    scale: Any = None,
    zero_point: Any = None,
    scales: Any = None,
    zero_points: Any = None,
    axis: int = 0,
) -> Any:
    """Integers that stand for floats."""
    held = call.dtype
    factor, zero = _parameters(scale, scales, zero_point, zero_points, held)
    limits = np.iinfo(held)
    is_whole = (quant_min, quant_max) == (limits.min, limits.max)

    def quantized(value: Any) -> Any:
        made = relax.op.quantize(value, factor, zero, axis, held)
        return made if is_whole else relax.op.clip(call.emit(made), quant_min, quant_max)

    source = call.cast(input, "float32")
    return call.through(source, quantized) if scales is None else quantized(source)


@operator(
    "quantized_decomposed::dequantize_per_tensor", "quantized_decomposed::dequantize_per_channel"
)
def dequantize(
    call: Call,
    input: Any,  # noqa: A002
    quant_min: int,
    quant_max: int,
    dtype: Any,
    scale: Any = None,
    zero_point: Any = None,
    scales: Any = None,
    zero_points: Any = None,
    axis: int = 0,
    out_dtype: Any = None,
) -> Any:
    """Floats that integers stand for."""
    factor, zero = _parameters(scale, scales, zero_point, zero_points, dtype_of(input))
    return call.dequantized(input, factor, zero, axis)


def _parameters(scale: Any, scales: Any, zero: Any, zeros: Any, dtype: str) -> tuple[Any, Any]:
    """Scale and zero point as constants."""
    found = []
    for one, several, held in ((scale, scales, "float32"), (zero, zeros, dtype)):
        given = several if one is None else one
        values = (
            given if isinstance(given, (int, float)) else known(given) if given is not None else 0
        )
        if values is None:
            raise Refusal(
                "its scale is computed at run time",
                "quantize the model statically, not dynamically",
            )
        array = np.asarray(values).astype(held)
        found.append(constant(array.reshape(()) if several is None else array))
    return found[0], found[1]


@operator("quantized_decomposed::choose_qparams")
def choose_parameters(call: Call, **_arguments: Any) -> Any:
    """Refused: dynamic quantization."""
    raise Refusal(
        "it chooses a scale at run time", "quantize the model statically, not dynamically"
    )
