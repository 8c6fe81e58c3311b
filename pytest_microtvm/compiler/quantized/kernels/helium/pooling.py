"""Means of whole images by Helium, four channels at a time."""

from __future__ import annotations

from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.specs import KernelSource, Pool

_LANES = 4


def fits(spec: Pool) -> bool:
    """Whether each output is the mean of a channel of int8."""
    return (
        spec.kind == "average"
        and spec.dtype == "int8"
        and spec.even_from is None
        and spec.output_shape[1:3] == (1, 1)
        and spec.window.shape == spec.input_shape[1:3]
        and spec.window.padding == (0, 0)
    )


def pool(spec: Pool) -> KernelSource:
    """The kernel of a spec that `fits`."""
    batches, height, width, channels = spec.input_shape
    text = Text()
    with text.repeated("image", batches):
        text.add(
            f"const int8_t *const from = input0 + image * {height * width * channels};",
            f"int8_t *const to = output + image * {channels};",
        )
        whole = channels // _LANES * _LANES
        if whole:
            with text.repeated("channel", whole, _LANES):
                _write_means(text, spec, "channel", _LANES)
        if channels > whole:
            with text.block():
                _write_means(text, spec, str(whole), channels - whole)
    return KernelSource(
        input_dtypes=("int8",),
        constants=(),
        output_dtype="int8",
        body=str(text),
        headers=("tvmgen_integer_helium.h",),
    )


def _write_means(text: Text, spec: Pool, channel: str, count: int) -> None:
    _, height, width, channels = spec.input_shape
    taps = height * width
    text.add(
        "microtvm_int32x4 sums = microtvm_all4(0);",
        f"const int8_t *tap = from + {channel};",
    )
    value = "microtvm_widen4(tap)"
    if count < _LANES:
        value = f"microtvm_widen4_first(tap, {count})"
    with text.repeated("n", taps):
        text.add(f"sums = microtvm_add4(sums, {value});", f"tap += {channels};")
    text.add(f"int32_t values[{_LANES}];", "microtvm_store4(values, sums);")
    with text.repeated("lane", count):
        half = taps // 2
        text.add(
            "const int32_t value = values[lane];",
            f"const int32_t mean = (value > 0 ? value + {half} : value - {half}) / {taps};",
            f"to[{channel} + lane] = (int8_t)microtvm_clamp(mean, {spec.minimum}, {spec.maximum});",
        )
