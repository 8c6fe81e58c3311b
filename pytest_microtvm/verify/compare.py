"""Comparison of a device's outputs with the reference's."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_microtvm.errors import ConfigError, OutputMismatch
from pytest_microtvm.verify.pictures import Picture, draw

SHOWN_MISMATCHES = 5


_NAN_ADVICE = "where that is right, ask for it (equal_nan=True, or the ini key microtvm_equal_nan)"


@dataclass(frozen=True)
class Tolerance:
    """How far a float may be off: |device - reference| <= atol + rtol * |reference|.

    Integers and booleans are always compared exactly.

    Attributes:
        rtol: The part that grows with the reference.
        atol: The part that does not.
        equal_nan: Whether a NaN where the reference has one is right.
    """

    rtol: float = 1e-5
    atol: float = 1e-6
    equal_nan: bool = False

    def __post_init__(self) -> None:
        values: dict[str, Any] = {"rtol": self.rtol, "atol": self.atol}
        for name, value in values.items():
            is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            try:
                is_good = is_number and 0 <= float(value) < math.inf
            except OverflowError:
                is_good = False
            if not is_good:
                raise ConfigError(f"{name} is {value!r}", cure="give a finite number of 0 or more")
        if not isinstance(self.equal_nan, bool):
            raise ConfigError(f"equal_nan is {self.equal_nan!r}", cure="give True or False")


@dataclass(frozen=True)
class TensorComparison:
    """One output compared.

    Attributes:
        name: The output's name.
        elements: How many elements were compared.
        mismatched: How many are outside the tolerance.
        max_abs_diff: The largest absolute difference of all elements; infinite where a side is NaN
            and that is wrong, or where only one is an infinity of that sign.
        examples: (position, device value, reference value) of the first mismatches.
        device_nans: How many of the device's elements are NaN.
        reference_nans: How many of the reference's are.
        nan_mismatches: How many are NaN on both sides, and are wrong for that.
        picture: How far, where and from which values it is off; None where nothing is.
    """

    name: str
    elements: int
    mismatched: int
    max_abs_diff: float
    examples: tuple[tuple[tuple[int, ...], float, float], ...]
    device_nans: int = 0
    reference_nans: int = 0
    nan_mismatches: int = 0
    picture: Picture | None = None


@dataclass(frozen=True)
class Comparison:
    """All outputs of one run compared.

    Attributes:
        tensors: Each output.
        reference: What the report calls the reference.
        tolerance: What was allowed.
        notes: Further lines for the report: what is known about the cause.
        has_steps: Whether the outputs are those of a sequence, whose steps are their first
            dimension.
    """

    tensors: tuple[TensorComparison, ...]
    reference: str
    tolerance: Tolerance
    notes: tuple[str, ...] = ()
    has_steps: bool = False

    @property
    def elements(self) -> int:
        """Elements compared, over all outputs."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def mismatched(self) -> int:
        """Elements outside the tolerance, over all outputs."""
        return sum(tensor.mismatched for tensor in self.tensors)

    @property
    def nan_mismatches(self) -> int:
        """Elements outside the tolerance for being NaN on both sides, over all outputs."""
        return sum(tensor.nan_mismatches for tensor in self.tensors)

    @property
    def max_abs_diff(self) -> float:
        """The largest absolute difference, over all outputs."""
        return max((tensor.max_abs_diff for tensor in self.tensors), default=0.0)

    @property
    def pictures(self) -> list[Picture]:
        """Of the outputs that differ."""
        return [tensor.picture for tensor in self.tensors if tensor.picture is not None]

    def report(self) -> str:
        """Say where the device differs, how far and how often, for a person."""
        lines = [
            f"device differs from {self.reference} in {self.mismatched} of {self.elements} "
            f"elements, largest difference {self.max_abs_diff:g}"
        ]
        for tensor in self.tensors:
            if not tensor.mismatched:
                continue
            lines.append(
                f"  output {tensor.name!r}: {tensor.mismatched} of {tensor.elements} differ, "
                f"largest difference {tensor.max_abs_diff:g}"
            )
            for position, device, reference in tensor.examples:
                step, index = (
                    (f"step {position[0]} ", position[1:]) if self.has_steps else ("", position)
                )
                where = ", ".join(map(str, index))
                lines.append(f"    {step}[{where}] device {device:.9g}, reference {reference:.9g}")
            if tensor.device_nans or tensor.reference_nans:
                lines.append(
                    f"    NaN: {tensor.device_nans} of the device's elements, "
                    f"{tensor.reference_nans} of the reference's"
                )
            if tensor.nan_mismatches:
                lines.append(f"    {tensor.nan_mismatches} are NaN on both sides: {_NAN_ADVICE}")
            if tensor.mismatched > len(tensor.examples):
                lines.append(f"    ... and {tensor.mismatched - len(tensor.examples)} more")
        lines.append(
            f"  integers are compared exactly, floats with rtol={self.tolerance.rtol:g} "
            f"atol={self.tolerance.atol:g}"
        )
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)

    def raise_on_mismatch(self) -> None:
        """Turn a difference into a failure.

        Raises:
            OutputMismatch: Some element is outside the tolerance; the message is `report()`.
        """
        __tracebackhide__ = True
        if self.mismatched:
            raise OutputMismatch(self.report())


def compare_outputs(
    device: Mapping[str, NDArray[np.generic]],
    reference: Mapping[str, NDArray[np.generic]],
    tolerance: Tolerance,
    reference_name: str = "the host reference",
    *,
    has_steps: bool = False,
) -> Comparison:
    """Compare every output element by element.

    Args:
        device: The device's outputs by name.
        reference: What they should be; the same names, shapes and dtypes.
        tolerance: For floats.
        reference_name: What the report calls the reference.
        has_steps: Whether the first dimension of all outputs is the step of a sequence.

    Returns:
        The comparison; `raise_on_mismatch` makes a verdict of it.

    Raises:
        OutputMismatch: Names, shapes or dtypes differ, so that elements cannot be compared.
    """
    if set(device) != set(reference):
        raise OutputMismatch(
            f"device has outputs {sorted(device)}, {reference_name} has {sorted(reference)}"
        )
    tensors = []
    for name, expected in reference.items():
        actual = device[name]
        if actual.shape != expected.shape or actual.dtype != expected.dtype:
            raise OutputMismatch(
                f"output {name!r}: device gives {actual.dtype}{list(actual.shape)}, "
                f"{reference_name} {expected.dtype}{list(expected.shape)}"
            )
        tensors.append(_compare(name, actual, expected, tolerance))
    return Comparison(tuple(tensors), reference_name, tolerance, has_steps=has_steps)


def _compare(
    name: str, actual: NDArray[np.generic], expected: NDArray[np.generic], tolerance: Tolerance
) -> TensorComparison:
    if expected.dtype.kind == "f":
        wide_actual, wide_expected = actual.astype(np.float64), expected.astype(np.float64)
        actual_nan, expected_nan = np.isnan(wide_actual), np.isnan(wide_expected)
        same = wide_actual == wide_expected
        if tolerance.equal_nan:
            same |= actual_nan & expected_nan
        with np.errstate(invalid="ignore", over="ignore"):
            difference = np.where(same, 0.0, np.abs(wide_actual - wide_expected))
            difference = np.where(np.isnan(difference), np.inf, difference)
            allowed = tolerance.atol + tolerance.rtol * np.abs(wide_expected)
            # An infinity would allow everything, or be allowed; only itself is right.
            is_finite = np.isfinite(wide_actual) & np.isfinite(wide_expected)
            wrong = ~same & ((difference > allowed) | ~is_finite)
    else:
        actual_nan = expected_nan = np.zeros(actual.shape, bool)
        wrong = actual != expected
        # Python integers: a difference of two int64 or uint64 may not fit either.
        difference = np.zeros(actual.shape)
        difference[wrong] = [
            float(abs(int(left) - int(right)))
            for left, right in zip(actual[wrong], expected[wrong], strict=True)
        ]
    positions = np.argwhere(wrong)[:SHOWN_MISMATCHES]
    examples = tuple(
        (tuple(int(i) for i in at), actual[tuple(at)].item(), expected[tuple(at)].item())
        for at in positions
    )
    return TensorComparison(
        name=name,
        elements=int(expected.size),
        mismatched=int(np.count_nonzero(wrong)),
        max_abs_diff=float(difference.max(initial=0.0)),
        examples=examples,
        device_nans=int(np.count_nonzero(actual_nan)),
        reference_nans=int(np.count_nonzero(expected_nan)),
        nan_mismatches=int(np.count_nonzero(wrong & actual_nan & expected_nan)),
        picture=draw(name, actual, expected, wrong) if wrong.any() else None,
    )
