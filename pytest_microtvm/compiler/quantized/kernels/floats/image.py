"""Which taps of an output pixel are inside of the image: no padding is ever copied or read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.specs import Window


@dataclass(frozen=True)
class Axis:
    """One axis of an image under a sliding window.

    Args:
        name: Of the variable that numbers the outputs in C.
        extent: Of the input.
        outputs: How many there are.
        taps: Of the window.
        stride: Between outputs.
        dilation: Between taps.
        padding: Before the image.
    """

    name: str
    extent: int
    outputs: int
    taps: int
    stride: int
    dilation: int
    padding: int

    def inside(self, output: int) -> range:
        """The taps of an output that are inside."""
        start = output * self.stride - self.padding
        first = min(-(start // self.dilation), self.taps) if start < 0 else 0
        end = -(-(self.extent - start) // self.dilation)
        return range(first, max(first, min(self.taps, end)))

    @property
    def interior(self) -> range:
        """The outputs all of whose taps are inside; empty at the end where there are none."""
        whole = [n for n in range(self.outputs) if len(self.inside(n)) == self.taps]
        if not whole:
            return range(self.outputs, self.outputs)
        return range(whole[0], whole[-1] + 1)

    @property
    def is_padded(self) -> bool:
        """Whether some output sees padding."""
        return len(self.interior) < self.outputs

    def declare(self, text: Text) -> tuple[str, str]:
        """Declare which taps of an output are inside: the first, and the one behind the last.

        The statements read the variable `name`.
        """
        if not self.is_padded:
            return "0", str(self.taps)
        name, step = self.name, self.dilation
        text.add(f"const int32_t {name}_start = {name} * {self.stride} - {self.padding};")
        first = f"-{name}_start" if step == 1 else f"({step - 1} - {name}_start) / {step}"
        left = f"{self.extent} - {name}_start"
        left = left if step == 1 else f"({left} + {step - 1}) / {step}"
        text.add(
            f"const int32_t first_{name} = {name}_start < 0 ? {first} : 0;",
            f"const int32_t end_{name} = {left} < {self.taps} ? {left} : {self.taps};",
        )
        return f"first_{name}", f"end_{name}"


def axes(
    input_shape: tuple[int, int, int, int], output_shape: tuple[int, int, int, int], window: Window
) -> tuple[Axis, Axis]:
    """The vertical and the horizontal axis, over outputs that are numbered y and x."""
    vertical, horizontal = (
        Axis(
            "yx"[n],
            input_shape[1 + n],
            output_shape[1 + n],
            window.shape[n],
            window.strides[n],
            window.dilation[n],
            window.padding[n],
        )
        for n in range(2)
    )
    return vertical, horizontal


@contextmanager
def borders(text: Text, axis: Axis) -> Iterator[None]:
    """A loop over the outputs before and after the interior."""
    name, interior = axis.name, axis.interior
    if not interior:
        with text.block(f"for (int32_t {name} = 0; {name} < {axis.outputs}; ++{name})"):
            yield
        return
    start = interior.start or interior.stop
    skip = f"{name} + 1 == {interior.start} ? {interior.stop} : {name} + 1"
    advance = f"{name} = {skip}" if interior.start else f"++{name}"
    with text.block(
        f"for (int32_t {name} = {start and (0 if interior.start else start)}; "
        f"{name} < {axis.outputs}; {advance})"
    ):
        yield
