"""Convolutions and fully connected layers that are rare: uint8, int16, groups.

One loop for each dimension and no blocking: what is common has modules of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.intervals import Interval, values_of
from pytest_microtvm.compiler.quantized.kernels import parts
from pytest_microtvm.compiler.quantized.kernels.text import (
    Constants,
    body,
    centered,
    requantized,
)
from pytest_microtvm.compiler.quantized.specs import (
    Conv2D,
    Convolution,
    DepthwiseConv2D,
    FullyConnected,
    KernelSource,
    Role,
    Rounding,
    Window,
)


def conv2d(spec: Conv2D) -> KernelSource:
    """A kernel for `spec`."""
    channels = spec.input_shape[3]
    taps_y, taps_x, group_channels = spec.weights.shape[1:]
    group_outputs = spec.output_shape[3] * group_channels // channels
    index = f"((c * {taps_y} + i) * {taps_x} + j) * {group_channels} + k"
    tap = f"""
        const int32_t first = c / {group_outputs} * {group_channels};
        for (int32_t k = 0; k < {group_channels}; ++k) {{
          sum += ({_sum_type(spec)}){centered("pixel[first + k]", spec.input_zero_point)} *
              {_weight(spec, index)};
        }}
    """
    return _windowed(spec, spec.window, tap)


def depthwise_conv2d(spec: DepthwiseConv2D) -> KernelSource:
    """A kernel for `spec`."""
    channels, output_channels = spec.input_shape[3], spec.output_shape[3]
    taps_x = spec.window.shape[1]
    tap = f"""
        sum += ({_sum_type(spec)}){
        centered(f"pixel[c / {output_channels // channels}]", spec.input_zero_point)
    } *
            {_weight(spec, f"(i * {taps_x} + j) * {output_channels} + c")};
    """
    return _windowed(spec, spec.window, tap)


def _windowed(spec: Convolution, window: Window, tap: str) -> KernelSource:
    """The loops over outputs and taps; `tap` adds to `sum` what is at `pixel`."""
    batches, height, width, channels = spec.input_shape
    _, output_height, output_width, output_channels = spec.output_shape
    constants: Constants = [_stored(spec)]
    start = _start(spec, constants)
    output = requantized(
        spec.requantization, "sum", "c", constants, is_wide=_sum_type(spec) == "int64_t"
    )
    text = f"""
    for (int32_t n = 0; n < {batches}; ++n) {{
      for (int32_t y = 0; y < {output_height}; ++y) {{
        for (int32_t x = 0; x < {output_width}; ++x) {{
          for (int32_t c = 0; c < {output_channels}; ++c) {{
            {_sum_type(spec)} sum = {start};
            for (int32_t i = 0; i < {window.shape[0]}; ++i) {{
              const int32_t row =
                  y * {window.strides[0]} + i * {window.dilation[0]} - {window.padding[0]};
              for (int32_t j = 0; j < {window.shape[1]}; ++j) {{
                const int32_t column =
                    x * {window.strides[1]} + j * {window.dilation[1]} - {window.padding[1]};
                if (row < 0 || row >= {height} || column < 0 || column >= {width}) {{
                  continue;
                }}
                const {C_TYPES[spec.input_dtype]} *const pixel =
                    input0 + ((n * {height} + row) * {width} + column) * {channels};
                {tap}
              }}
            }}
            *output++ = ({C_TYPES[spec.requantization.dtype]}){output};
          }}
        }}
      }}
    }}
    """
    return _kernel(spec, text, constants, batches * output_height * output_width)


def fully_connected(spec: FullyConnected) -> KernelSource:
    """A kernel for `spec`."""
    outputs, inputs = spec.weights.shape
    constants: Constants = [_stored(spec)]
    start = _start(spec, constants)
    output = requantized(
        spec.requantization, "sum", "c", constants, is_wide=_sum_type(spec) == "int64_t"
    )
    text = f"""
    for (int32_t row = 0; row < {spec.rows}; ++row) {{
      for (int32_t c = 0; c < {outputs}; ++c) {{
        {_sum_type(spec)} sum = {start};
        for (int32_t k = 0; k < {inputs}; ++k) {{
          sum += ({_sum_type(spec)}){centered("input0[k]", spec.input_zero_point)} *
              {_weight(spec, f"c * {inputs} + k")};
        }}
        *output++ = ({C_TYPES[spec.requantization.dtype]}){output};
      }}
      input0 += {inputs};
    }}
    """
    return _kernel(spec, text, constants, spec.rows)


def _kernel(
    spec: Convolution | FullyConnected, text: str, constants: Constants, places: int
) -> KernelSource:
    """The kernel of a text; at each place all weights are multiplied once."""
    return KernelSource(
        (spec.input_dtype,),
        tuple(constants),
        spec.requantization.dtype,
        body(text),
        macs=places * int(spec.weights.size),
        headers=(parts.HEADER,) if parts.bits_of(spec.weights) < 8 else (),
        roles=_roles(spec),
    )


def _stored(spec: Convolution | FullyConnected) -> npt.NDArray[Any]:
    """The weights, in their order."""
    bits = parts.bits_of(spec.weights)
    return spec.weights if bits == 8 else parts.packed(spec.weights, bits)


def _weight(spec: Convolution | FullyConnected, index: str) -> str:
    """An expression for the weight at an index, less the zero point."""
    weight = parts.element_at("constant0", index, parts.bits_of(spec.weights))
    return centered(weight, spec.weights_zero_point)


def _sum_type(spec: Convolution | FullyConnected) -> str:
    """int64_t, unless all sums are within int32_t."""
    axis = -1 if isinstance(spec, DepthwiseConv2D) else 0
    by_output = np.moveaxis(spec.weights.astype(np.int64) - spec.weights_zero_point, axis, 0)
    taps = np.abs(by_output.reshape(len(by_output), -1)).sum(axis=1)
    reach = taps * values_of(spec.input_dtype, spec.input_zero_point).reach
    if spec.bias is not None:
        reach = reach + np.abs(spec.bias.astype(np.int64))
    return Interval(0, int(reach.max())).c_type


def _start(spec: Convolution | FullyConnected, constants: Constants) -> str:
    bias = spec.bias
    if bias is None:
        return "0"
    constants.append(bias if _sum_type(spec) == "int64_t" else bias.astype(np.int32))
    return f"constant{len(constants) - 1}[c]"


def _roles(spec: Convolution | FullyConnected) -> tuple[Role, ...]:
    """What the constants are, in the order in which they are collected."""
    stored = "as the model has them, channels last" + parts.layout(parts.bits_of(spec.weights))
    roles = [Role("weights", stored)]
    if spec.bias is not None:
        roles.append(Role("bias", "of each output channel"))
    requantization = spec.requantization
    if requantization.multipliers.size == 1:
        return tuple(roles)
    if requantization.rounding is Rounding.REAL:
        roles.append(Role("factors", "of each output channel, from its sum to the output"))
    else:
        roles.append(Role("multipliers", "of each output channel"))
        roles.append(Role("shifts", "of each output channel"))
    return tuple(roles)
