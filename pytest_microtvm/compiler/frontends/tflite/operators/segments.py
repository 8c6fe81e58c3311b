"""Rows that are reduced to one for each number that they are given."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call, constant
from pytest_microtvm.compiler.frontends.tflite.registry import operator

_Neutral = Callable[[Any], Any]
"""What leaves a result as it is, by the limits of an element type."""


@operator("SEGMENT_SUM", options="SegmentSumOptions")
def segment_sum(call: Call) -> Any:
    """Sums of rows that follow each other; as many as the last of their numbers says."""
    numbers = call.input(1)
    count = call.output.signature[0] if call.output.signature else -1
    if numbers.value is not None:
        count = int(numbers.value.max(initial=-1)) + 1
    if count < 1:
        raise call.refusal(
            "how many sums it makes is computed at run time", "use tf.math.unsorted_segment_sum"
        )
    return _reduced(call, count, relax.op.sum, lambda limits: 0)


def _unsorted(name: str, function: Any, neutral: _Neutral) -> None:
    @operator(f"UNSORTED_SEGMENT_{name}", options=f"UnsortedSegment{name.title()}Options")
    def convert(call: Call) -> Any:
        [count] = call.integers(2, "how many segments there are")
        if count < 1:
            raise call.refusal(f"it makes {count} segments")
        return _reduced(call, count, function, neutral)


_unsorted("MAX", relax.op.max, lambda limits: limits.min)
_unsorted("MIN", relax.op.min, lambda limits: limits.max)
_unsorted("PROD", relax.op.prod, lambda limits: 1)
_unsorted("SUM", relax.op.sum, lambda limits: 0)


def _reduced(call: Call, count: int, function: Any, neutral: _Neutral) -> Any:
    """Each row is in the segment of its number, or in none."""
    data, numbers = call.input(0), call.input(1)
    rank = numbers.rank
    if data.dtype not in ("float32", "int32") or data.shape[:rank] != numbers.shape:
        raise call.refusal(f"it reduces {data.dtype} of {data.shape} by {numbers.shape} numbers")
    rows, rest = math.prod(numbers.shape), data.shape[rank:]
    limits = np.finfo(data.dtype) if data.dtype == "float32" else np.iinfo(data.dtype)
    segments = constant(np.arange(count, dtype=numbers.dtype).reshape(count, 1, 1))
    is_in = relax.op.equal(relax.op.reshape(numbers.expression, [1, rows, 1]), segments)
    elements = relax.op.reshape(data.expression, [1, rows, math.prod(rest)])
    others = constant(np.array(neutral(limits), data.dtype))
    result = function(relax.op.where(is_in, elements, others), [1])
    return relax.op.reshape(result, [count, *rest])
