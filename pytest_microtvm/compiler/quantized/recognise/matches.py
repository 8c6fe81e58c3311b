"""What recognizers of groups find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.arithmetic import (
    EVEN_SHIFT,
    factors_of_2,
    quantize_multiplier,
    quantize_multipliers,
    round_away,
)
from pytest_microtvm.compiler.quantized.recognise.values import Values, dtype_of, operator_name
from pytest_microtvm.compiler.quantized.specs import Requantization, Rounding, Spec
from pytest_microtvm.compiler.quantized.tensors import Quantization


@dataclass(frozen=True)
class Output:
    """What a group of operators ends in.

    Args:
        quantization: Of the result.
        dtype: Of the result.
        minimum: Least value of the result; fused activations are in it.
        maximum: Greatest value of the result.
        is_activated: Whether an activation was fused into it.
        is_even: Whether results are the nearest values, ties to even, as ONNX and PyTorch define
            it; else they are those of TFLite's kernels.
    """

    quantization: Quantization
    dtype: str
    minimum: int
    maximum: int
    is_activated: bool = False
    is_even: bool = False

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

    def real(self, factor: float) -> Requantization:
        """To this output by a factor of double precision, for sums that int32_t does not hold."""
        requantization = self.requantization(*quantize_multiplier(factor), Rounding.REAL)
        return replace(requantization, reals=np.array([factor], np.float64))

    def even(self, factors: Sequence[float] | npt.NDArray[Any], reach: int) -> Requantization:
        """To this output by the nearest value, ties to even.

        Args:
            factors: For all channels, or one each.
            reach: How far from 0 a sum can be.
        """
        reals = np.asarray(factors, np.float64)
        is_narrow = reach < 1 << 31
        # The factors of wide sums may be so small that they were 0 for others.
        excess = 0 if is_narrow else 16
        multipliers, shifts = quantize_multipliers(np.ldexp(reals, excess))
        shifts = shifts - np.int32(excess)
        rounding = Rounding.EVEN
        if reach >= 1 << 47 or shifts.max() > (30 if is_narrow else EVEN_SHIFT):
            rounding = Rounding.REAL
        elif is_narrow and reach * float(reals.max()) < 1 << 30:
            bits = [
                factors_of_2(int(m)) + reach.bit_length() + int(s)
                for m, s in zip(multipliers, shifts, strict=True)
            ]
            # Ties need more factors of 2 than sum and multiplier have.
            rounding = Rounding.SINGLE if max(bits) < 30 else Rounding.EVEN
        return replace(
            self.requantization(0, 0, rounding),
            multipliers=multipliers,
            shifts=shifts,
            reals=reals,
        )

    def rounded(self, steps: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Real numbers of steps as whole ones."""
        return np.rint(steps) if self.is_even else round_away(steps)


@dataclass(frozen=True)
class Match:
    """A group of operators that one kernel can do.

    Args:
        name: The operator, for the names of kernels.
        spec: What the kernel does.
        inputs: The tensors that it reads.
        is_channels_last: The kernel wants its images with the channels last, and makes such, though
            the model has them first.
        channels_last: What the kernel does instead when its inputs are there with the channels
            last, as well: any order will do.
    """

    name: str
    spec: Spec
    inputs: tuple[Any, ...]
    is_channels_last: bool = False
    channels_last: Spec | None = None


@dataclass(frozen=True)
class Movement:
    """An operator that moves elements between dequantization and quantization to the same scale.

    Args:
        call: The call of the operator.
        source: The quantized tensor.
    """

    call: Any
    source: Any


Recognizer = Callable[[Values, Any, Output], Match | Movement | None]
"""Says what the kernel of an operator has to do, or declines by None: then the next is asked.

It is given the bindings of the function, the call of the operator, and what its float result is
quantized to.
"""

IntegerRecognizer = Callable[[Values, Any, int, int], Match | None]
"""The same for a call whose integers are clamped to a least and a greatest value."""


def last(shape: Sequence[int]) -> tuple[int, int, int, int]:
    """The extents (n, channels, height, width) with the channels last."""
    n, channels, height, width = shape
    return n, height, width, channels


def image_of(shape: Sequence[int], layout: str) -> tuple[int, int, int, int]:
    """The extents of an image with the channels last."""
    if layout == "NCHW":
        return last(shape)
    n, height, width, channels = shape
    return n, height, width, channels


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
        return output.quantization.zero_point + int(output.rounded(np.asarray(steps)))

    minimum = max(output.minimum, quantized(low))
    maximum = output.maximum if high is None else min(output.maximum, quantized(high))
    return replace(output, minimum=minimum, maximum=maximum, is_activated=True)
