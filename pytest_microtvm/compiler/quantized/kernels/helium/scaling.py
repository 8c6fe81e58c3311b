"""From accumulators to int8 outputs by Helium: exactly TFLite's arithmetic, four at a time.

With y the rounded doubling high product of sum and multiplier, and e bits to the right:

    double rounding   floor((y - (y < 0) + 2**(e-1)) / 2**e)
    single rounding   floor((floor(2 * s * m / 2**32) + 2**(e-1)) / 2**e)

as `scaling` shows, for e >= 1. The shifting instruction does the outer rounding. Where a fused
activation keeps all outputs at or above the zero point, the term (y < 0) makes no difference.

A channel's start and shift share a word, start * 256 + shift, where all starts are short enough:
the shifting instruction reads the low byte alone. Else the shifts are bytes of their own.

Where a `line` gives the same outputs, which it does behind a ReLU, its shifts are the same for all
channels. Then one product adds a sum to its start, the next one scales, and the narrowing
instruction shifts and rounds to nearest. (What rounds down is no choice: the assembler of binutils
2.40 makes VQRSHRN of VQSHRN.)

Channels without weights, which pruning leaves, may have starts of any size. Their one output comes
as well of a start of few bits and a factor of 1 / 4, or that of other channels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.arithmetic import apply
from pytest_microtvm.compiler.quantized.kernels.accumulators import Sums, wrapped
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.line import Line, find_line
from pytest_microtvm.compiler.quantized.kernels.scaling import is_short
from pytest_microtvm.compiler.quantized.specs import Requantization, Role, Rounding

_BLOCK = 16
_LANES = 4
_START_LIMIT = 1 << 23
_MOST_ROUNDING = 15  # bits; one more behind a product that is doubled

Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True)
class HeliumScaling:
    """How a kernel scales its accumulators.

    Args:
        requantization: What is to be computed.
        starts: int32, what the sum of each channel begins with.
        multipliers: int32, one for each channel.
        shifts: int32, one for each channel; positive is to the left.
        rounding: Name of the way, one of the constants of `tvmgen_integer_helium.h`.
        line: The line, where there is one; starts and multipliers are its own then, and neither
            `shifts` nor `rounding` count.
    """

    requantization: Requantization
    starts: Int32Array
    multipliers: Int32Array
    shifts: Int32Array
    rounding: str
    line: Line | None = None

    @property
    def is_common(self) -> bool:
        """Whether all channels have the same factor."""
        return self.line is None and bool(
            np.all(self.multipliers == self.multipliers[0])
            and np.all(self.shifts == self.shifts[0])
        )

    @property
    def is_paired(self) -> bool:
        """Whether two pixels are better scaled at once: `write_pairs`."""
        is_short = self.rounding == "MICROTVM_SHORT"
        return self.line is None and is_short and not self.is_common and not self.is_wide

    @property
    def limits(self) -> str:
        """C: zero point, minimum and maximum of the output, as arguments."""
        requantization = self.requantization
        zero_point = requantization.zero_point
        if self.line is not None and self.line.offset == 1 << (self.line.right - 1):
            zero_point = 0  # it is in the line's starts
        return f"{zero_point}, {requantization.minimum}, {requantization.maximum}"

    @property
    def is_wide(self) -> bool:
        """Whether starts and shifts do not share words."""
        return (
            self.line is None
            and not self.is_common
            and bool(np.any(np.abs(self.starts.astype(np.int64)) >= _START_LIMIT))
        )

    @property
    def words(self) -> Int32Array:
        """Start and shift of each channel in one, or the start alone: when wide, or of a line."""
        if self.is_wide or self.line is not None:
            return self.starts
        words: Int32Array = self.starts * 256 + (self.shifts & 0xFF)
        return words

    def wide_shifts(self) -> list[npt.NDArray[np.int8]]:
        """The shifts, in the order of the channels, when they are wide: a constant."""
        return [self.shifts.astype(np.int8)] if self.is_wide else []

    @property
    def layout(self) -> str:
        """How parameters are laid out, for a comment."""
        if self.line is not None:
            return "what a channel's sum, shifted to the left, is added to; multipliers"
        start = "what a channel's sum starts with (bias, and what the zero point adds)"
        if self.is_common:
            return start
        return f"{start}{'' if self.is_wide else ', with its shift in the low byte'}; multipliers"

    def roles(self) -> list[Role]:
        """What `parameters` and `wide_shifts` are."""
        roles = [Role("parameters", f"16 channels at a time: {self.layout}")]
        return [*roles, Role("shifts", "of each channel")] if self.is_wide else roles

    def parameters(self) -> Int32Array:
        """What `write` reads of the channels."""
        order = channel_order(len(self.starts))
        if self.is_common:
            return self.starts[order]
        parts = []
        for first in range(0, len(order), _BLOCK):
            channels = order[first : first + _BLOCK]
            parts += [self.words[channels], self.multipliers[channels]]
        return np.concatenate(parts)

    def write_pairs(self, text: Text, channels: int) -> None:
        """Outputs of two pixels, written to `to0` and `to1`, where that `is_paired`.

        The statements read `sums0` and `sums1`, else the same as those of `write`. They are for as
        many channels as there are blocks of 16; `write_rest` has the others.
        """
        whole = channels // _BLOCK * _BLOCK
        if whole:
            with text.repeated("at", whole, _BLOCK):
                text.add(
                    "microtvm_scale_pair(to0 + at, to1 + at, sums0 + at, sums1 + at, "
                    f"parameters + 2 * at, {self.limits});"
                )

    def write(self, text: Text, channels: int) -> None:
        """Outputs of one pixel, written to `to`.

        The statements read `sums`, in the order of `channel_order`, `parameters`, and `shifts`,
        which are in that order, too, and a null pointer unless they are wide.

        Args:
            text: Gets the statements.
            channels: How many; they begin with one whose number is a multiple of 16.
        """
        whole = channels // _BLOCK * _BLOCK
        if whole:
            with text.repeated("at", whole, _BLOCK):
                text.add(f"{self._block_call()};")
        self.write_rest(text, channels)

    def write_rest(self, text: Text, channels: int) -> None:
        """The same for the channels behind the last whole block of 16."""
        whole = channels // _BLOCK * _BLOCK
        rest = channels - whole
        if not rest:
            return
        quads = rest // _LANES * _LANES
        base = f"parameters + {(1 if self.is_common else 2) * whole}"
        if quads:
            with text.repeated("at", quads, _LANES):
                self._write_few(text, base, rest, f"{whole} + at", "at", _LANES)
        if rest - quads:
            with text.block():
                self._write_few(text, base, rest, str(whole + quads), str(quads), rest - quads)

    def _block_call(self) -> str:
        if self.line is not None:
            return (
                "MICROTVM_LINE16(to + at, sums + at, parameters + 2 * at, "
                f"{1 << self.line.left}, {self.line_shift}, {self.limits})"
            )
        if self.is_common:
            factor = f"{int(self.multipliers[0])}, {int(self.shifts[0])}, {self.rounding}"
            sums = "to + at, sums + at, parameters + at"
            return f"microtvm_scale16_all({sums}, {factor}, {self.limits})"
        return (
            f"microtvm_scale16(to + at, sums + at, parameters + 2 * at, "
            f"{'shifts + at' if self.is_wide else '0'}, {self.rounding}, {self.limits})"
        )

    def _write_few(
        self, text: Text, base: str, rest: int, place: str, offset: str, count: int
    ) -> None:
        def load(address: str) -> str:
            if count == _LANES:
                return f"microtvm_load4({address})"
            return f"microtvm_load4_first({address}, {count})"

        text.add(
            f"const microtvm_int32x4 few = {load(f'sums + {place}')};",
            f"const microtvm_int32x4 words = {load(f'{base} + {offset}')};",
        )
        if self.is_common:
            factor = f"{int(self.multipliers[0])}, {int(self.shifts[0])}"
            scaled = f"microtvm_scale4_all(microtvm_add4(few, words), {factor}, {self.rounding})"
        else:
            shifts, total = "words", "microtvm_add4(few, microtvm_shift_down8(words))"
            if self.line is not None:
                total = f"microtvm_add_product4(words, few, {1 << self.line.left})"
            elif self.is_wide:
                total = "microtvm_add4(few, words)"
                shifts = f"microtvm_widen4_first(shifts + {place}, {count})"
            text.add(
                f"const microtvm_int32x4 total = {total};",
                f"const microtvm_int32x4 multipliers = {load(f'{base} + {rest} + {offset}')};",
            )
            scaled = f"microtvm_scale4(total, multipliers, {shifts}, {self.rounding})"
            if self.line is not None:
                scaled = f"microtvm_line4(total, multipliers, {self.line_shift})"
        text.add(
            f"const microtvm_int32x4 scaled = {scaled};",
            f"microtvm_store4_first(to + {place}, "
            f"microtvm_output4(scaled, {self.limits}), {count});",
        )

    def write_line4(self, text: Text, result: str, total: str, multiplier: str) -> None:
        """Four outputs of one channel by its line, in the low bytes of a vector.

        Args:
            text: Gets the statements.
            result: The name of the vector, which they declare.
            total: A vector of sums, added to the line's start.
            multiplier: The channel's.
        """
        if self.limits == "0, -128, 127":
            call = f"MICROTVM_LINE_BYTES4({result}, {total}, {multiplier}, {self.line_shift});"
            text.add(f"microtvm_int32x4 {result};", call)
            return
        scaled = f"microtvm_line4_all({total}, {multiplier}, {self.line_shift})"
        text.add(f"const microtvm_int32x4 {result} = microtvm_output4({scaled}, {self.limits});")

    @property
    def line_shift(self) -> int:
        """Of a line, the shift behind a doubled product."""
        if self.line is None:
            raise AssertionError("there is no line")
        return self.line.right + 1


def channel_order(channels: int) -> npt.NDArray[np.int64]:
    """The order in which sums stand: in blocks of 16, sum 4 * i + n is of channel 4 * n + i."""
    order = np.arange(channels)
    whole = channels // _BLOCK * _BLOCK
    blocks = order[:whole].reshape(-1, _LANES, _LANES).transpose(0, 2, 1)
    order[:whole] = blocks.reshape(-1)
    return order


def plan_helium_scaling(requantization: Requantization, sums: Sums) -> HeliumScaling | None:
    """Choose how to scale.

    Args:
        requantization: To int8.
        sums: What is scaled.

    Returns:
        None where these instructions do not do.
    """
    line = _line(requantization, sums)
    channels = len(sums.start)
    if line is not None:
        nothing = np.zeros(channels, np.int32)
        return HeliumScaling(requantization, line.starts, line.multipliers, nothing, "", line)
    if requantization.rounding is Rounding.EVEN:
        return None
    multipliers = np.array(np.broadcast_to(requantization.multipliers, channels), np.int32)
    shifts = np.array(np.broadcast_to(requantization.shifts, channels), np.int32)
    shifts = np.where(multipliers == 0, -1, shifts).astype(np.int32)  # 0 however it is shifted
    starts = wrapped(sums.start)
    if requantization.multipliers.size > 1:
        without = sums.is_constant
        outputs = apply(sums.start.reshape(1, -1), requantization)[0].astype(np.int32)
        starts = np.where(without, 4 * (outputs - requantization.zero_point), starts)
        multipliers = np.where(without, 1 << 30, multipliers)
        shifts = np.where(without, -1, shifts)
    if requantization.rounding is Rounding.SINGLE:
        if not is_short(requantization, sums):
            return None
        rounding = "MICROTVM_SINGLE"
    elif np.any(shifts > -1):
        rounding = "MICROTVM_ANY_SHIFT"
    elif requantization.minimum >= requantization.zero_point:
        rounding = "MICROTVM_POSITIVE"
    else:
        rounding = "MICROTVM_SHORT"
    return HeliumScaling(
        requantization,
        starts.astype(np.int32),
        multipliers.astype(np.int32),
        shifts.astype(np.int32),
        rounding,
    )


def _line(requantization: Requantization, sums: Sums) -> Line | None:
    """A line, where channels have factors of their own."""
    if requantization.multipliers.size == 1 or np.any(requantization.multipliers <= 0):
        return None
    without = sums.is_constant
    if without.any() and not without.all():
        # A channel without weights comes out as well of another's factor and a start of few bits.
        reals = np.ldexp(requantization.multipliers.astype(np.float64), requantization.shifts)
        other = np.flatnonzero(~without)[reals[~without].argmax()]
        outputs = apply(sums.start.reshape(1, -1), requantization)[0].astype(np.int64)
        wanted = np.ldexp(outputs - requantization.zero_point, 31) / reals[other]
        start = np.where(without, np.rint(wanted).astype(np.int64), sums.start)
        sums = Sums(start, np.where(without, np.abs(start), sums.bounds))
        requantization = replace(
            requantization,
            multipliers=np.where(
                without, requantization.multipliers[other], requantization.multipliers
            ),
            shifts=np.where(without, requantization.shifts[other], requantization.shifts),
        )
    return find_line(requantization, sums, _MOST_ROUNDING)
