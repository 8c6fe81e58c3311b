"""Operators that LiteRT has and TensorFlow Lite Micro has not, drawn at random."""

from __future__ import annotations

import numpy as np
import tflite

from tests.operators.cases import Case, Rng, _activation, _quantization, _scale, _shape
from tests.operators.layer_cases import CLOSE, Draw, _rank


def _volumes(rng: Rng, case: Case, is_transposed: bool) -> None:
    """A convolution of volumes, or its gradient."""
    case.tolerance = CLOSE
    n, *extents, channels, outputs = _shape(rng, 6, 1, 4)
    taps = [int(tap) for tap in rng.integers(1, 3, 3, endpoint=True)]
    strides = [int(stride) for stride in rng.integers(1, 2, 3, endpoint=True)]
    same = bool(rng.random() < 0.5) or any(t > e for t, e in zip(taps, extents, strict=True))
    options = {
        "Padding": tflite.Padding.SAME if same else tflite.Padding.VALID,
        **{f"Stride{axis}": stride for axis, stride in zip("DHW", strides, strict=True)},
        **{f"Dilation{axis}Factor": 1 for axis in "DHW"},
        "FusedActivationFunction": _activation(rng),
    }
    sizes = [*taps, outputs, channels] if is_transposed else [*taps, channels, outputs]
    data = case.add_input(rng, [n, *extents, channels], "float32", None)
    weights = case.add(sizes, "float32", None, rng.normal(size=sizes).astype(np.float32))
    bias = case.add([outputs], "float32", None, rng.normal(size=outputs).astype(np.float32))
    if is_transposed:
        spread = [
            e * s if same else (e - 1) * s + t
            for e, s, t in zip(extents, strides, taps, strict=True)
        ]
        shape = case.constant([n, *spread, outputs])
        result = case.add([n, *spread, outputs], "float32")
        case.run("CONV_3D_TRANSPOSE", [shape, weights, data, bias], [result], **options)
        return
    left = [
        -(-e // s) if same else (e - t) // s + 1
        for e, s, t in zip(extents, strides, taps, strict=True)
    ]
    result = case.add([n, *left, outputs], "float32")
    case.run("CONV_3D", [data, weights, bias], [result], **options)


def _conv_3d(rng: Rng, case: Case) -> None:
    _volumes(rng, case, is_transposed=False)


def _conv_3d_transpose(rng: Rng, case: Case) -> None:
    _volumes(rng, case, is_transposed=True)


def _bucketize(rng: Rng, case: Case) -> None:
    dtype = str(rng.choice(["float32", "int32"]))
    shape = _shape(rng, _rank(rng))
    boundaries = np.sort(rng.normal(scale=3, size=int(rng.integers(1, 6)))).astype(np.float32)
    data = case.add_input(rng, shape, dtype, None)
    result = case.add(shape, "int32")
    case.run("BUCKETIZE", [data], [result], Boundaries=[float(place) for place in boundaries])


def _matrix_diag(rng: Rng, case: Case) -> None:
    dtype = str(rng.choice(["float32", "int8"]))
    known = _quantization(rng, dtype, _scale(rng, -7, -4)) if dtype == "int8" else None
    shape = _shape(rng, _rank(rng, 1, 3))
    data = case.add_input(rng, shape, dtype, known)
    case.run("MATRIX_DIAG", [data], [case.add([*shape, shape[-1]], dtype, known)])


def _matrix_set_diag(rng: Rng, case: Case) -> None:
    shape = _shape(rng, _rank(rng, 2, 4))
    data = case.add_input(rng, shape, "float32", None)
    diagonal = case.add_input(rng, [*shape[:-2], min(shape[-2:])], "float32", None)
    case.run("MATRIX_SET_DIAG", [data, diagonal], [case.add(shape, "float32")])


def _rfft(rng: Rng, case: Case) -> None:
    """Parts or magnitudes of spectra."""
    case.tolerance = CLOSE
    rows, length = int(rng.integers(1, 4)), int(rng.choice([4, 8, 16, 32, 64]))
    bins = length // 2 + 1
    data = case.add_input(rng, [rows, 1, length + int(rng.integers(0, 2))], "float32", None)
    spectrum = case.add([rows, 1, bins], "complex64")
    case.step("RFFT2D", [data, case.constant([1, length])], [spectrum])
    flat = case.add([rows, bins], "complex64")
    case.step("RESHAPE", [spectrum, case.constant([rows, bins])], [flat])
    operator = str(rng.choice(["REAL", "IMAG", "COMPLEX_ABS"]))
    case.run(operator, [flat], [case.add([rows, bins], "float32")])


def _segments(rng: Rng, case: Case) -> None:
    dtype = str(rng.choice(["float32", "int32"]))
    shape = _shape(rng, _rank(rng))
    count = int(rng.integers(1, 5))
    operator = str(rng.choice(["MAX", "MIN", "PROD", "SUM"]))
    case.tolerance = CLOSE if dtype == "float32" else 0.0
    data = case.add_input(rng, shape, dtype, None)
    numbers = case.add_input(rng, shape[:1], "int32", None)
    for sample in case.samples:
        sample[-1] = rng.integers(-1, count, shape[:1]).astype(np.int32)
    inputs = [data, numbers, case.constant(np.int32(count))]
    result = case.add([count, *shape[1:]], dtype)
    case.run(f"UNSORTED_SEGMENT_{operator}", inputs, [result])


def _segment_sum(rng: Rng, case: Case) -> None:
    shape = _shape(rng, _rank(rng))
    case.tolerance = CLOSE
    numbers = np.cumsum(rng.integers(0, 2, shape[0]), dtype=np.int32)
    numbers -= numbers[0]
    data = case.add_input(rng, shape, "float32", None)
    result = case.add([int(numbers[-1]) + 1, *shape[1:]], "float32")
    case.run("SEGMENT_SUM", [data, case.constant(numbers)], [result])


RARER: dict[str, Draw] = {
    "bucketize": _bucketize,
    "conv_3d": _conv_3d,
    "conv_3d_transpose": _conv_3d_transpose,
    "matrix_diag": _matrix_diag,
    "matrix_set_diag": _matrix_set_diag,
    "rfft": _rfft,
    "segment_sum": _segment_sum,
    "unsorted_segments": _segments,
}
"""By the name of the operator."""
