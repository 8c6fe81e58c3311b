"""Fourier transforms of real numbers, and the parts of what they give."""

from __future__ import annotations

from typing import Any

from flatbuffers import flexbuffers
from tvm import relax

from pytest_microtvm.compiler.custom import CustomCall, CustomTensor
from pytest_microtvm.compiler.custom_operators.signal import RFFT
from pytest_microtvm.compiler.frontends.tflite.call import Call
from pytest_microtvm.compiler.frontends.tflite.custom import run_custom
from pytest_microtvm.compiler.frontends.tflite.registry import operator
from pytest_microtvm.compiler.frontends.tflite.spectra import Complex


@operator("RFFT2D", options="Rfft2dOptions")
def rfft_2d(call: Call) -> Any:
    """Of rows, each of them by itself: converters write transforms of one dimension so."""
    data = call.input(0)
    height, length = call.integers(1, "its length")
    if height != 1 or data.shape[-2:-1] != (1,) or data.dtype != "float32":
        raise call.refusal(
            f"it transforms {data.dtype} of the shape {data.shape}, not floats of one row",
            "transform rows by themselves: tf.signal.rfft",
        )
    if data.shape[-1] < length:
        raise call.refusal(f"it transforms {length} of {data.shape[-1]} numbers")
    rows = call.emitted(data.expression)
    if data.shape[-1] > length:
        rows = call.emitted(relax.op.strided_slice(rows, [data.rank - 1], [0], [length]))
    shape = (*data.shape[:-1], length)
    given = CustomTensor("rows", shape, "float32")
    made = CustomTensor(call.output.name, (), "float32")
    use = CustomCall((given,), (made,), flexbuffers.Dumps({"fft_length": length}))
    [pairs] = run_custom(call, RFFT, use, [rows])
    return Complex(*(_part_of(pairs, shape, side) for side in (0, 1)))


def _part_of(pairs: Any, shape: tuple[int, ...], side: int) -> Any:
    """The real parts of numbers that lie there in pairs, or the imaginary ones."""
    axis = len(shape) - 1
    end = 2 * (shape[-1] // 2 + 1)
    return relax.op.strided_slice(pairs, [axis], [side], [end], [2])


def _parts(call: Call) -> Complex:
    found = call.input(0).complex
    if found is None:
        raise call.refusal("its input holds no complex numbers")
    return found


@operator("REAL")
def real(call: Call) -> Any:
    """The real parts."""
    return _parts(call).real


@operator("IMAG")
def imag(call: Call) -> Any:
    """The imaginary parts."""
    return _parts(call).imaginary


@operator("COMPLEX_ABS")
def complex_abs(call: Call) -> Any:
    """The magnitudes."""
    parts = _parts(call)
    squares = [relax.op.multiply(part, part) for part in (parts.real, parts.imaginary)]
    return relax.op.sqrt(relax.op.add(*squares))
