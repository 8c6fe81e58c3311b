"""Copies the taps that output pixels see, in C: as they are, or as words of two int16.

The taps of a pixel are in the order of the weights: vertical, horizontal, channel. Taps outside of
the image are the input's zero point. As words, four taps in a row, t0 to t3, become (t0, t2) and
(t1, t3): what the DSP extension makes of four bytes by two instructions. Up to three more, to fill
the last four, meet weights of 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.overlap import steps
from pytest_microtvm.compiler.quantized.specs import Conv2D

_UNROLLED = 8


def is_flat(spec: Conv2D) -> bool:
    """Whether the taps of a pixel are just its channels, and pixels follow each other."""
    # With steps there may be as many outputs as inputs all the same: the last ones see padding.
    is_inside = spec.window.is_inside(spec.input_shape, spec.output_shape)
    is_point = spec.window.shape == (1, 1)
    return is_point and is_inside and spec.input_shape[:3] == spec.output_shape[:3]


def starts(spec: Conv2D, pixels: int) -> list[int]:
    """The first pixel of each step that computes `pixels` of them, in the order of the steps.

    The last step may compute some once more. Where the taps of pixels follow each other, the last
    pixels come first: so the output may be a little behind the input in memory that both share,
    and a little before it in the convolution after that.
    """
    found = steps(math.prod(spec.output_shape[:3]), pixels)
    return found[::-1] if is_flat(spec) else found


@contextmanager
def blocks(text: Text, spec: Conv2D, pixels: int) -> Iterator[None]:
    """The loop over these steps; the statements inside read `start`, the first pixel."""
    count = math.prod(spec.output_shape[:3])
    last = count - pixels
    with text.repeated("first", count, pixels, is_downward=is_flat(spec)):
        start = "first" if count % pixels == 0 else f"first < {last} ? first : {last}"
        text.add(f"const int32_t start = {start};")
        yield


def write_bytes(text: Text, spec: Conv2D, pixels: int) -> None:
    """The taps of `pixels` patches as bytes, one after the other.

    The statements read `start`, the number of the first pixel, and write to the workspace.
    """
    text.add("int8_t *tap_to = (int8_t *)workspace;")
    with text.repeated("p", pixels):
        _write_position(text, spec)
        _write_gathering(text, spec)


def write_woven(text: Text, spec: Conv2D, pixels: int) -> None:
    """The same, woven: the first tap of all patches, the second one of all, and so on."""
    with text.repeated("p", pixels):
        text.add("int8_t *tap_to = (int8_t *)workspace + p;")
        if is_flat(spec):
            taps = spec.input_shape[3]
            text.add(f"microtvm_spread(tap_to, {pixels}, input0 + (start + p) * {taps}, {taps});")
        else:
            _write_position(text, spec)
            _write_gathering(text, spec, pixels)


@dataclass(frozen=True)
class WordPatches:
    """The patches of a convolution as words, several at a time.

    Args:
        spec: The convolution.
        pixels: How many patches are interleaved: four taps of the first, four of the second, ...
        factor: Unless it is 0, `offsets` has what the taps of each patch add up to, times it.
    """

    spec: Conv2D
    pixels: int
    factor: int = 0

    @property
    def taps(self) -> int:
        """Taps of a patch."""
        return math.prod(self.spec.weights.shape[1:])

    @property
    def quads(self) -> int:
        """Groups of four taps, the last of them filled up."""
        return -(-self.taps // 4)

    @property
    def workspace_bytes(self) -> int:
        """The words of all pixels, and one patch in bytes where the taps have to be gathered."""
        return 8 * self.quads * self.pixels + (4 * self.quads if self._gathers else 0)

    @property
    def _gathers(self) -> bool:
        return self.spec.input_shape[3] % 4 != 0

    def write(self, text: Text) -> None:
        """The statements; they read `start`, the number of the first pixel."""
        with text.repeated("p", self.pixels):
            text.add("uint32_t *to = (uint32_t *)(void *)workspace + 2 * p;")
            if self.factor:
                text.add("int32_t taps_sum = 0;")
            self._write_patch(text)
            if self.factor:
                text.add(f"offsets[p] = taps_sum * {self.factor};")

    def _write_patch(self, text: Text) -> None:
        if is_flat(self.spec):
            text.add(f"const int8_t *from = input0 + (start + p) * {self.taps};")
            if self._gathers:
                text.add(f"memcpy(patch, from, {self.taps});", "from = patch;")
            self._expand(text, self.quads)
            return
        _write_position(text, self.spec)
        if self._gathers:
            text.add("int8_t *tap_to = patch;")
            _write_gathering(text, self.spec)
            text.add("const int8_t *from = patch;")
            self._expand(text, self.quads)
        else:
            self._write_rows(text)

    def _write_rows(self, text: Text) -> None:
        """Runs of whole rows of the kernel where they are inside, else tap by tap."""
        width, channels = self.spec.input_shape[2:]
        window = self.spec.window
        rows, columns = window.shape
        quads = channels // 4
        with _rows(text, self.spec, rows):
            if window.dilation[1] == 1:
                with text.block(f"if ({_inside_row(self.spec, 'x', columns)})"):
                    text.add(f"const int8_t *from = image + (y * {width} + x) * {channels};")
                    self._expand(text, quads * columns)
                    text.add("continue;")
            self._write_taps(text)

    def _write_taps(self, text: Text) -> None:
        width, channels = self.spec.input_shape[2:]
        columns, step = self.spec.window.shape[1], self.spec.window.dilation[1]
        quads = channels // 4
        with text.block(f"for (int32_t column = 0; column < {columns}; ++column)"):
            text.add(f"const int32_t tap = x + column * {step};")
            with text.block(f"if ({_inside_row(self.spec, 'tap', 1)})"):
                text.add(f"const int8_t *from = image + (y * {width} + tap) * {channels};")
                self._expand(text, quads)
            with text.block("else"):
                zero = self.spec.input_zero_point & 0xFFFF
                with text.block(f"for (int32_t quad = 0; quad < {quads}; ++quad)"):
                    text.add(
                        f"to[0] = {zero * 0x10001:#010x}u;",
                        f"to[1] = {zero * 0x10001:#010x}u;",
                        f"to += {2 * self.pixels};",
                    )
                    if self.factor:
                        text.add(f"taps_sum += {4 * self.spec.input_zero_point};")

    def _expand(self, text: Text, quads: int) -> None:
        """The words of `quads` groups of four bytes, from `from` to `to`."""
        unrolled = max(n for n in range(1, _UNROLLED + 1) if quads % n == 0)
        with text.block(f"for (int32_t quad = 0; quad < {quads}; quad += {unrolled})"):
            for n in range(unrolled):
                text.add(
                    f"const uint32_t bytes{n} = microtvm_load_word(from + {4 * n});",
                    f"to[{2 * self.pixels * n}] = microtvm_sxtb16(bytes{n});",
                    f"to[{2 * self.pixels * n + 1}] = microtvm_sxtb16_odd(bytes{n});",
                )
                if self.factor:
                    words = (f"to[{2 * self.pixels * n + odd}]" for odd in range(2))
                    for word in words:
                        text.add(f"taps_sum = microtvm_smlad({word}, 0x00010001u, taps_sum);")
            text.add(f"from += {4 * unrolled};", f"to += {2 * self.pixels * unrolled};")

    def declare(self, text: Text) -> None:
        """Declare what `write` needs outside of the loops."""
        if self.factor:
            text.add(f"int32_t offsets[{self.pixels}];")
        if self._gathers:
            text.add(f"int8_t *const patch = (int8_t *)workspace + {8 * self.quads * self.pixels};")


def _write_position(text: Text, spec: Conv2D) -> None:
    _, height, width, channels = spec.input_shape
    _, out_height, out_width, _ = spec.output_shape
    window = spec.window
    (down, right), (above, before) = window.strides, window.padding
    image = "input0"
    if spec.input_shape[0] > 1:
        image += f" + (start + p) / {out_height * out_width} * {height * width * channels}"
        text.add(f"const int32_t pixel = (start + p) % {out_height * out_width};")
    else:
        text.add("const int32_t pixel = start + p;")
    text.add(
        f"const int8_t *const image = {image};",
        f"int32_t y = pixel / {out_width} * {down} - {above};",
        f"const int32_t x = pixel % {out_width} * {right} - {before};",
    )


def _rows(text: Text, spec: Conv2D, rows: int) -> AbstractContextManager[None]:
    step = spec.window.dilation[0]
    advance = "++y" if step == 1 else f"y += {step}"
    return text.block(f"for (int32_t row = 0; row < {rows}; ++row, {advance})")


def _inside_row(spec: Conv2D, x: str, columns: int) -> str:
    _, height, width, _ = spec.input_shape
    last = f"{x} <= {width - columns}" if columns > 1 else f"{x} < {width}"
    return f"y >= 0 && y < {height} && {x} >= 0 && {last}"


def _write_gathering(text: Text, spec: Conv2D, step: int = 0) -> None:
    """The taps of a patch to `tap_to`, by vectors each `step` bytes from the one before it."""
    width, channels = spec.input_shape[2:]
    window = spec.window
    rows, columns = window.shape
    copy, fill = "microtvm_copy(tap_to", "memset(tap_to"
    if step:
        copy, fill = f"microtvm_spread(tap_to, {step}", f"microtvm_fill(tap_to, {step}"
    each = step or 1
    with _rows(text, spec, rows):
        address = f"image + (y * {width} + x) * {channels}"
        if window.dilation[1] == 1:
            with text.block(f"if ({_inside_row(spec, 'x', columns)})"):
                text.add(
                    f"{copy}, {address}, {columns * channels});",
                    f"tap_to += {columns * channels * each};",
                    "continue;",
                )
        with text.block(f"for (int32_t column = 0; column < {columns}; ++column)"):
            text.add(f"const int32_t tap = x + column * {window.dilation[1]};")
            address = f"image + (y * {width} + tap) * {channels}"
            with text.block(f"if ({_inside_row(spec, 'tap', 1)})"):
                text.add(f"{copy}, {address}, {channels});")
            with text.block("else"):
                text.add(f"{fill}, {spec.input_zero_point}, {channels});")
            text.add(f"tap_to += {channels * each};")
