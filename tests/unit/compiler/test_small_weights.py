"""Weights of 4 and 2 bits in kernels over integers: how small they are stored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pytest_microtvm.compiler.quantized.kernels import generate, parts
from pytest_microtvm.compiler.quantized.specs import (
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Requantization,
    Rounding,
    Spec,
    Window,
)

RANDOM = np.random.default_rng(4)
REQUANTIZATION = Requantization(
    np.array([1 << 30], np.int32), np.array([-6], np.int32), Rounding.DOUBLE, 3, -128, 127
)


def weights_of(bits: int, *shape: int) -> npt.NDArray[np.int8]:
    """Any numbers of so many bits, the least and the greatest among them."""
    limit = 1 << (bits - 1)
    weights = RANDOM.integers(-limit, limit, shape, np.int8)
    weights.flat[:2] = -limit, limit - 1
    return weights


def convolution(bits: int, dtype: str = "int8") -> Conv2D:
    return Conv2D(
        (1, 6, 6, 8),
        (1, 6, 6, 12),
        Window((3, 3), padding=(1, 1)),
        weights_of(bits, 12, 3, 3, 8),
        None,
        5,
        REQUANTIZATION,
        dtype,
    )


def depthwise(bits: int) -> DepthwiseConv2D:
    return DepthwiseConv2D(
        (1, 6, 6, 8),
        (1, 6, 6, 8),
        Window((3, 3), padding=(1, 1)),
        weights_of(bits, 3, 3, 8),
        None,
        5,
        REQUANTIZATION,
        "int8",
    )


def layer(bits: int) -> FullyConnected:
    return FullyConnected(
        rows=1,
        weights=weights_of(bits, 12, 64),
        weights_zero_point=0,
        bias=None,
        input_zero_point=5,
        requantization=REQUANTIZATION,
        input_dtype="int8",
    )


def test_numbers_are_packed_from_the_lowest_bits_on() -> None:
    four = np.array([1, -2, 7, -8, 3], np.int8)
    assert parts.bits_of(four) == 4
    assert parts.packed(four, 4).view(np.uint8).tolist() == [0xE1, 0x87, 0x03]
    two = np.array([[1, -2], [0, -1], [-1, 1]], np.int8)
    assert parts.bits_of(two) == 2
    assert parts.packed(two, 2).view(np.uint8).tolist() == [0b11_00_10_01, 0b01_11]
    assert parts.bits_of(np.array([8], np.int8)) == 8
    assert parts.bits_of(np.array([-9], np.int8)) == 8
    assert parts.bits_of(np.array([3], np.uint8)) == 8


@pytest.mark.parametrize("simd", ["none", "dsp"])
@pytest.mark.parametrize("bits", [4, 2])
def test_weights_are_stored_as_small_as_the_file_has_them(simd: str, bits: int) -> None:
    specs: list[Spec] = [convolution(bits), layer(bits)]
    if simd == "none":
        specs.append(convolution(bits, "int16"))  # by the kernel that fits all
    for spec in specs:
        assert isinstance(spec, (Conv2D, FullyConnected))
        assert generate(spec, simd).constants[0].nbytes == spec.weights.size * bits // 8
    # Three rows of three taps, each channel from a byte on: by the DSP extension, two taps of a
    # column are a word, and so are those of the column shifted by one row; four words are filled.
    taken = {("none", 4): 5, ("none", 2): 3, ("dsp", 4): 8, ("dsp", 2): 4}[simd, bits]
    assert generate(depthwise(bits), simd).constants[0].nbytes == 8 * taken


def test_helium_has_bytes_of_them() -> None:
    spec = convolution(4)
    assert generate(spec, "helium").constants[0].nbytes == spec.weights.size
