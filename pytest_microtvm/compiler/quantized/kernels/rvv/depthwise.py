"""Depthwise convolutions by RISC-V's vector extension: a vector of channels, tap after tap."""

from __future__ import annotations

import math

import numpy as np

from pytest_microtvm.compiler.quantized.kernels.accumulators import Sums
from pytest_microtvm.compiler.quantized.kernels.c_text import Text
from pytest_microtvm.compiler.quantized.kernels.on_its_side import lying
from pytest_microtvm.compiler.quantized.kernels.overlap import is_by_channels, of_rows
from pytest_microtvm.compiler.quantized.kernels.portable.depthwise import write_copy
from pytest_microtvm.compiler.quantized.kernels.rvv.scaling import plan_rvv_scaling
from pytest_microtvm.compiler.quantized.specs import DepthwiseConv2D, KernelSource, Role


def depthwise_conv2d(spec: DepthwiseConv2D) -> KernelSource | None:
    """A depthwise convolution of int8 with weights of zero point 0.

    None where an input channel has several outputs, or where sums scale otherwise.
    """
    spec = lying(spec)
    _, height, width, channels = spec.input_shape
    batches, out_height, out_width, out_channels = spec.output_shape
    window = spec.window
    weights = spec.weights.reshape(-1, out_channels)
    sums = Sums.of(weights.T, spec.bias, spec.input_zero_point)
    scaling = plan_rvv_scaling(spec.requantization, sums)
    if scaling is None or out_channels != channels:
        return None
    columns = window.columns_seen(out_width)
    is_padded = not window.is_inside(spec.input_shape, spec.output_shape)
    row_bytes = columns * channels if is_padded else width * channels * window.dilation[0]
    step = window.dilation[1] * channels
    text = Text()
    scaling.declare(text)
    fields = (
        *window.shape,
        step,
        row_bytes - window.shape[1] * step,
        window.strides[1] * channels,
    )
    text.add(f"const microtvm_window window = {{{', '.join(map(str, fields))}}};")
    with text.repeated("n", batches), text.repeated("y", out_height):
        text.add(f"const int8_t *const image = input0 + n * {height * width * channels};")
        if is_padded:
            write_copy(text, spec, columns, "microtvm_vector_copy", "microtvm_vector_fill")
            text.add("const int8_t *const rows = (const int8_t *)workspace;")
        else:
            first = f"y * {width * channels * window.strides[0]}"
            text.add(f"const int8_t *const rows = image + {first};")
        text.add(
            f"microtvm_convolve_channels(output + (n * {out_height} + y) * "
            f"{out_width * out_channels}, rows, {out_width}, &window, &layer, &how);"
        )
    return KernelSource(
        input_dtypes=("int8",),
        constants=(np.ascontiguousarray(weights), *scaling.constants),
        output_dtype="int8",
        body=str(text),
        workspace_bytes=window.shape[0] * columns * channels if is_padded else 0,
        in_place=(0,) if is_by_channels(spec, 1) else (),
        overlaps=of_rows(spec, range(out_height), 1),
        macs=math.prod(spec.output_shape) * len(weights),
        headers=("tvmgen_integer_rvv.h",),
        roles=(
            Role(
                "weights",
                "tap after tap in the order of height and width, those of all channels side by "
                "side",
            ),
            *scaling.roles(),
        ),
    )
