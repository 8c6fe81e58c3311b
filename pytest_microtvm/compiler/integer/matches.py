"""What recognizers of groups find."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_microtvm.compiler.integer.arithmetic import round_away
from pytest_microtvm.compiler.integer.specs import Requantization, Rounding, Spec
from pytest_microtvm.compiler.integer.values import Quantization, Values, dtype_of, operator_name


@dataclass(frozen=True)
class Output:
    """What a group of operators ends in.

    Args:
        quantization: Of the result.
        dtype: Of the result.
        minimum: Least value of the result; fused activations are in it.
        maximum: Greatest value of the result.
    """

    quantization: Quantization
    dtype: str
    minimum: int
    maximum: int

    def requantization(
        self, multiplier: int, shift: int, rounding: Rounding = Rounding.DOUBLE
    ) -> Requantization:
        """To this output by one factor for all channels."""
        return Requantization(
            np.array([multiplier], np.int32),
            np.array([shift], np.int32),
            rounding,
            self.quantization.zero_point,
            self.minimum,
            self.maximum,
            self.dtype,
        )


@dataclass(frozen=True)
class Match:
    """A group of operators that one kernel can do.

    Args:
        name: The operator, for the names of kernels.
        spec: What the kernel does.
        inputs: The tensors that it reads.
    """

    name: str
    spec: Spec
    inputs: tuple[Any, ...]


def without_activation(values: Values, result: Any, output: Output) -> tuple[Any, Output]:
    """A float result before ReLU and the like, and the output with its bounds."""
    value = values.definition(result)
    name = operator_name(value)
    if dtype_of(value) != "float32":
        return result, output
    if name == "nn.relu":
        return value.args[0], _bounded(output, 0.0, None)
    if name == "clip":
        low, high = (values.number(argument) for argument in value.args[1:3])
        return value.args[0], _bounded(output, low, high)
    return result, output


def _bounded(output: Output, low: float, high: float | None) -> Output:
    """The output held between two real numbers; in float32, as TFLite computes the bounds."""

    def quantized(real: float) -> int:
        steps = np.float32(real) / output.quantization.scale
        return output.quantization.zero_point + int(round_away(np.asarray(steps)))

    minimum = max(output.minimum, quantized(low))
    maximum = output.maximum if high is None else min(output.maximum, quantized(high))
    return replace(output, minimum=minimum, maximum=maximum)
