"""The compiled model held to the model's own interpreter, on this machine.

A reference of the same archive cannot see that the compiler read the model wrongly: the device and
the host then compute the same wrong thing. This comparison can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pytest_microtvm.verify.compare import SHOWN_MISMATCHES, Tolerance
from pytest_microtvm.verify.inputs import Tensors
from pytest_microtvm.verify.interpreters import Interpreted, InterpretedLayer

EXACT = "exact"
WITHIN = "within tolerance"
NOT_CHECKED = "not checked"
_RTOL_OF_HALVES = 0.01
_GROWN_STEPS = 16
"""How far later layers may let a difference of one step grow before it is a fault."""

Array = NDArray[np.generic]


@dataclass(frozen=True)
class ModelCheck:
    """What the comparison of a compiled model with its interpreter came to.

    Attributes:
        status: `EXACT`, `WITHIN`, `NOT_CHECKED`, or "differs by" and the largest difference.
        notes: Where it differs and in which layer first, or why it was not checked, or by which
            other kernels than the interpreter's reference; lines.
    """

    status: str
    notes: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether the compiled model is wrong."""
        return self.status not in (EXACT, WITHIN, NOT_CHECKED)


def not_checked(why: str) -> ModelCheck:
    """A model that could not be checked."""
    return ModelCheck(NOT_CHECKED, (why,))


def compare_model(
    compiled: Tensors, interpreted: Interpreted, tolerance: Tolerance, *, in_float: bool
) -> ModelCheck:
    """Compare the outputs of a compiled model with those of its interpreter.

    Integers have to be the same; where the interpreter's kernels or the compiled ones compute them
    by floats, they may be off by one quantization step. Floats have to be within the tolerance of
    the output's largest value: sums in another order differ by parts of their largest terms. Where
    the interpreter computes in floats of 16 bits, a hundredth of that value is allowed. Where it
    rounds layers otherwise, what is some steps off tells nothing.

    Args:
        compiled: What the compiled model gives on this machine, by name.
        interpreted: What the interpreter gives for the same inputs.
        tolerance: For floats.
        in_float: Whether parts of a quantized model are compiled to float operators.
    """
    if interpreted.hybrid:
        return not_checked(
            f"{interpreted.title} round the activations of {', '.join(interpreted.hybrid)} as they "
            "run; the compiled model does not"
        )
    one_step = in_float or interpreted.is_optimized
    is_half = interpreted.is_half
    if is_half:
        tolerance = replace(tolerance, rtol=max(tolerance.rtol, _RTOL_OF_HALVES))
    lines: list[str] = []
    largest = 0.0
    is_exact = True
    for (name, expected), step in zip(interpreted.outputs.items(), interpreted.steps, strict=True):
        actual = compiled[name]
        allowed = (1.0 if expected.dtype.kind in "iu" else step * 1.001) if one_step else 0.0
        wrong, difference = _compare(actual, expected, tolerance, allowed, is_half)
        is_exact = is_exact and not difference.any()
        if wrong.any():
            largest = max(largest, float(difference[wrong].max()))
            lines += _describe(name, actual, expected, wrong)
    if not lines:
        notes = (f"held to {interpreted.title}",) if interpreted.is_optimized else ()
        return ModelCheck(EXACT if is_exact else WITHIN, notes)
    grown = max(interpreted.steps, default=0.0) or 1.0
    if interpreted.is_rough and largest <= _GROWN_STEPS * grown:
        return not_checked(
            f"{interpreted.title} round its layers otherwise, which later ones let grow to a "
            f"difference of {largest:g}"
        )
    rule = "one quantization step" if one_step else "integers are compared exactly"
    lines.append(
        f"  {rule}, floats with rtol={tolerance.rtol:g} of the largest atol={tolerance.atol:g}"
    )
    title = f"the compiled model differs from {interpreted.title}, largest difference {largest:g}"
    return ModelCheck(f"differs by {largest:g}", (title, *lines))


def _compare(
    actual: Array, expected: Array, tolerance: Tolerance, allowed: float, is_half: bool
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which elements are wrong, and how far each is off."""
    if expected.dtype.kind != "f":
        # Exact for 53 bits; where more of them differ, the difference is large all the same.
        difference = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
        difference = np.where((actual != expected) & (difference == 0), 1.0, difference)
        return difference > allowed, difference
    left, right = actual.astype(np.float64), expected.astype(np.float64)
    # What overflows is the largest number to an interpreter that clamps, and infinity to C.
    largest = float(np.finfo("float16" if is_half else expected.dtype.name).max)
    overflows = (np.abs(left) >= largest) & (np.sign(left) * right >= largest)
    same = (left == right) | overflows | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.where(same, 0.0, np.abs(left - right))
    difference = np.where(np.isnan(difference), np.inf, difference)
    finite = np.abs(right[np.isfinite(right)])
    limit = tolerance.atol + tolerance.rtol * float(finite.max(initial=0.0)) + allowed
    return difference > limit, difference


def _describe(name: str, actual: Array, expected: Array, wrong: NDArray[np.bool_]) -> list[str]:
    count = int(np.count_nonzero(wrong))
    lines = [f"  output {name!r}: {count} of {wrong.size} differ"]
    for at in np.argwhere(wrong)[:SHOWN_MISMATCHES]:
        where, place = ", ".join(map(str, at)), tuple(at)
        lines.append(
            f"    [{where}] compiled {actual[place].item():.9g}, "
            f"interpreter {expected[place].item():.9g}"
        )
    return lines


def first_layer(
    layers: Sequence[InterpretedLayer], compiled: Sequence[Array], *, one_step: bool
) -> str | None:
    """Name the first layer that the compiled model computes otherwise than the interpreter.

    A compiled model names its kernels otherwise, and has fewer: layers are found again by their
    values, in whatever order these are, or by those of the channels that are left of them. A layer
    whose values are nowhere is no trouble when those of a later one, which needs it, are: then the
    two are one kernel.

    Args:
        layers: What the interpreter gave, in order.
        compiled: All tensors that the compiled model's kernels gave, and its inputs.
        one_step: Whether integers may be off by one.

    Returns:
        The layer; None where no layer is to blame.
    """
    found = [_is_found(layer, compiled, one_step) for layer in layers]
    agrees = list(found)
    for position in reversed(range(len(layers))):
        if agrees[position]:
            for source in layers[position].inputs:
                agrees[source] = True
    for layer, good in zip(layers, agrees, strict=True):
        if not good and all(agrees[source] for source in layer.inputs):
            return f"{layer.kind} {layer.name!r}"
    return None


def _is_found(layer: InterpretedLayer, compiled: Sequence[Array], one_step: bool) -> bool:
    return all(
        any(
            _is_same(output, candidate, one_step) or _is_part(output, candidate, one_step)
            for candidate in compiled
        )
        for output in layer.outputs
    )


def _is_same(expected: Array, actual: Array, one_step: bool) -> bool:
    if actual.size != expected.size or actual.dtype.kind != expected.dtype.kind:
        return False
    left = np.sort(actual.astype(np.float64), axis=None)
    right = np.sort(expected.astype(np.float64), axis=None)
    if expected.dtype.kind == "f":
        return bool(np.allclose(left, right, rtol=1e-4, atol=1e-5, equal_nan=True))
    return bool((np.abs(left - right) <= (1 if one_step else 0)).all())


def _is_part(expected: Array, actual: Array, one_step: bool) -> bool:
    """Whether a tensor has some of the channels of another one, and nothing else.

    A compiled model leaves out dead channels. It has them last; the interpreter has them last, or
    behind the first axis.
    """
    if actual.dtype != expected.dtype or actual.dtype.kind not in "iu":
        return False
    if actual.ndim != expected.ndim or actual.ndim < 2 or actual.size >= expected.size:
        return False
    left = actual.astype(np.int64)
    for axis in {-1, 1}:
        right = np.moveaxis(expected, axis, -1).astype(np.int64)
        if left.shape[:-1] == right.shape[:-1]:
            columns = right.reshape(-1, right.shape[-1])
            limit = 1 if one_step else 0
            if all(
                (np.abs(columns - channel[:, None]) <= limit).all(axis=0).any()
                for channel in left.reshape(-1, left.shape[-1]).T
            ):
                return True
    return False
