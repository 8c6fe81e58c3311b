"""What float kernels are measured beside: loops blocked by hand, and CMSIS-NN's.

Both are external kernels that only this benchmark knows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pytest_microtvm.compiler.external.cmsis_nn import HEADER, collect
from pytest_microtvm.compiler.quantized.external import ExternalKernels
from pytest_microtvm.compiler.quantized.float_specs import (
    FloatConv2D,
    FloatConvolution,
    FloatDepthwiseConv2D,
)
from pytest_microtvm.compiler.quantized.kernels.floats.text import HEADERS, bounded, number
from pytest_microtvm.compiler.quantized.kernels.text import body
from pytest_microtvm.compiler.quantized.specs import KernelSource, Window
from pytest_microtvm.compiler.source_tree import SourceTree

RIVALS = {
    "blocked_loop": "scripts.benchmarks.float_rivals:BLOCKED_LOOP",
    "cmsis_nn_float": "scripts.benchmarks.float_rivals:CMSIS_NN_FLOAT",
}
"""By the name that `--external` takes."""

_DEFINED = re.compile(r"^[\w\s*]+?\b(arm_\w+_f32)\s*\([^;{}()]*\)\s*\{", re.MULTILINE)
_CALLED = re.compile(r"\b(arm_\w+_f32)\s*\(")
_PIXELS = _CHANNELS = 4
_ROWS = 8  # of taps, for which CMSIS-NN gets memory


def _tap_loops(spec: FloatConvolution, step: str, outside: str = "") -> str:
    """Loops over the taps of the pixel at n, y, x; `step` is done for each that is inside."""
    _, height, width, channels = spec.input_shape
    window = spec.window
    return f"""
    for (int32_t i = 0; i < {window.shape[0]}; ++i) {{
      for (int32_t j = 0; j < {window.shape[1]}; ++j) {{
        const int32_t row = {_place("y", "i", window, 0)};
        const int32_t column = {_place("x", "j", window, 1)};
        if (row >= 0 && row < {height} && column >= 0 && column < {width}) {{
          const float *const from = input0 + ((n * {height} + row) * {width} + column) * {channels};
          {step}
        }}
        {f"else {{ {outside} }}" if outside else ""}
      }}
    }}
    """


def _place(output: str, tap: str, window: Window, axis: int) -> str:
    """Where a tap of an output is."""
    stride, step = window.strides[axis], window.dilation[axis]
    return f"{output} * {stride} + {tap} * {step} - {window.padding[axis]}"


def _blocked_convolution(spec: FloatConv2D) -> KernelSource | None:
    """Four pixels are copied as patches, and meet four output channels at a time."""
    if spec.weights.scales is not None or spec.weights.values.dtype != np.float32:
        return None
    batches, height, width, outputs = spec.output_shape
    channels = spec.input_shape[3]
    taps = int(np.prod(spec.weights.values.shape[1:]))
    pixels = batches * height * width
    bias = np.zeros(outputs, np.float32) if spec.bias is None else spec.bias
    sums = [(c, p) for c in range(_CHANNELS) for p in range(_PIXELS)]
    copied = f"memcpy(to, from, {4 * channels}); to += {channels};"
    text = f"""
    for (int32_t first = 0; first < {pixels}; first += {_PIXELS}) {{
      float *const patches = (float *)(void *)workspace;
      for (int32_t p = 0; p < {_PIXELS}; ++p) {{
        const int32_t pixel = first + p < {pixels} ? first + p : {pixels - 1};
        const int32_t n = pixel / {height * width};
        const int32_t y = pixel / {width} % {height};
        const int32_t x = pixel % {width};
        float *to = patches + p * {taps};
        {_tap_loops(spec, copied, f"memset(to, 0, {4 * channels}); to += {channels};")}
      }}
      for (int32_t c = 0; c < {outputs}; c += {_CHANNELS}) {{
        {
        " ".join(
            f"const int32_t c{n} = c + {n} < {outputs} ? c + {n} : {outputs - 1};"
            for n in range(_CHANNELS)
        )
    }
        {" ".join(f"float sum{c}_{p} = constant1[c{c}];" for c, p in sums)}
        for (int32_t k = 0; k < {taps}; ++k) {{
          {" ".join(f"const float w{n} = constant0[c{n} * {taps} + k];" for n in range(_CHANNELS))}
          {" ".join(f"const float v{p} = patches[{p * taps} + k];" for p in range(_PIXELS))}
          {" ".join(f"sum{c}_{p} += w{c} * v{p};" for c, p in sums)}
        }}
        {
        " ".join(
            f"if (first + {p} < {pixels}) {{ output[(first + {p}) * {outputs} + c{c}] = "
            f"{bounded(f'sum{c}_{p}', spec.bounds)}; }}"
            for c, p in sums
        )
    }
      }}
    }}
    """
    return _kernel(text, [spec.weights.values, bias], 4 * taps * _PIXELS)


def _plain_depthwise(spec: FloatDepthwiseConv2D) -> KernelSource | None:
    """All channels of a pixel for each tap, summed up where the output is."""
    if spec.weights.scales is not None or spec.weights.values.dtype != np.float32:
        return None
    batches, height, width, outputs = spec.output_shape
    if outputs != spec.input_shape[3]:
        return None
    bias = np.zeros(outputs, np.float32) if spec.bias is None else spec.bias
    by_tap = np.ascontiguousarray(spec.weights.values.reshape(outputs, -1).T)
    step = f"""
          const float *const weights = constant0 + (i * {spec.window.shape[1]} + j) * {outputs};
          for (int32_t c = 0; c < {outputs}; ++c) {{
            output[c] += from[c] * weights[c];
          }}
    """
    text = f"""
    for (int32_t n = 0; n < {batches}; ++n) {{
      for (int32_t y = 0; y < {height}; ++y) {{
        for (int32_t x = 0; x < {width}; ++x) {{
          memcpy(output, constant1, {4 * outputs});
          {_tap_loops(spec, step)}
          for (int32_t c = 0; c < {outputs}; ++c) {{
            output[c] = {bounded("output[c]", spec.bounds)};
          }}
          output += {outputs};
        }}
      }}
    }}
    """
    return _kernel(text, [by_tap, bias])


def _cmsis_convolution(spec: FloatConv2D) -> KernelSource | None:
    """By CMSIS-NN; its function for fully connected layers where it is one."""
    weights = spec.weights.values
    if spec.weights.scales is not None or weights.dtype != np.float32:
        return None
    outputs, height, width, inputs = weights.shape
    bias = np.zeros(outputs, np.float32) if spec.bias is None else spec.bias
    is_dense = spec.input_shape[:2] == (1, 1) and (height, width) == (1, 1)
    size_bytes = _ROWS * 4 * height * width * inputs + 64
    lines = [*_context(size_bytes)]
    if is_dense:
        rows = spec.input_shape[2]
        lines += [
            "cmsis_nn_fc_params_f32 params;",
            *_activation(spec),
            "params.weight_format = ARM_NN_WEIGHT_FORMAT_STANDARD;",
            *_dims("input_dims", (rows, 1, 1, inputs)),
            *_dims("filter_dims", (inputs, 1, 1, outputs)),
            *_dims("bias_dims", (1, 1, 1, outputs)),
            *_dims("output_dims", (rows, 1, 1, outputs)),
            "(void)arm_fully_connected_f32(&context, &params, &input_dims, input0, &filter_dims,",
            "constant0, &bias_dims, constant1, &output_dims, output, ARM_NN_LAYOUT_NHWC);",
        ]
    else:
        lines += [
            "cmsis_nn_conv_params_f32 params;",
            *_steps(spec.window),
            *_activation(spec),
            "params.weight_format = ARM_NN_WEIGHT_FORMAT_STANDARD;",
            *_dims("input_dims", spec.input_shape),
            *_dims("filter_dims", weights.shape),
            *_dims("bias_dims", (1, 1, 1, outputs)),
            *_dims("output_dims", spec.output_shape),
            "(void)arm_convolve_wrapper_f32(&context, &params, &input_dims, input0, &filter_dims,",
            "constant0, &bias_dims, constant1, &output_dims, output);",
        ]
    return _kernel("\n".join(lines), [weights, bias], size_bytes)


def _cmsis_depthwise(spec: FloatDepthwiseConv2D) -> KernelSource | None:
    """By CMSIS-NN."""
    if spec.weights.scales is not None or spec.weights.values.dtype != np.float32:
        return None
    outputs, (height, width) = spec.output_shape[3], spec.window.shape
    by_tap = spec.weights.values.reshape(outputs, height, width).transpose(1, 2, 0)
    bias = np.zeros(outputs, np.float32) if spec.bias is None else spec.bias
    size_bytes = _ROWS * 4 * height * width * outputs + 64
    lines = [
        *_context(size_bytes),
        "cmsis_nn_dw_conv_params_f32 params;",
        f"params.ch_mult = {outputs // spec.input_shape[3]};",
        *_steps(spec.window),
        *_activation(spec),
        *_dims("input_dims", spec.input_shape),
        *_dims("filter_dims", (1, height, width, outputs)),
        *_dims("bias_dims", (1, 1, 1, outputs)),
        *_dims("output_dims", spec.output_shape),
        "(void)arm_depthwise_conv_wrapper_f32(&context, &params, &input_dims, input0,",
        "&filter_dims, constant0, &bias_dims, constant1, &output_dims, output);",
    ]
    return _kernel("\n".join(lines), [by_tap, bias], size_bytes)


def _context(size_bytes: int) -> list[str]:
    return [
        "cmsis_nn_context context;",
        "context.buf = workspace;",
        f"context.size = {size_bytes};",
    ]


def _steps(window: Window) -> list[str]:
    pairs = {"stride": window.strides, "padding": window.padding, "dilation": window.dilation}
    return [
        f"params.{name}.{axis} = {extent};"
        for name, pair in pairs.items()
        for axis, extent in zip("hw", pair, strict=True)
    ]


def _collected(tree: SourceTree, text: str) -> Mapping[str, bytes]:
    """What the kernels call; what CMSIS-NN's own headers select by macros counts as called."""
    defined = {
        name
        for path in tree.files
        if path.endswith(".c")
        for name in _DEFINED.findall(tree.text(path))
    }
    selected = {
        name
        for path in tree.files
        if "/Internal/" in path
        for name in _CALLED.findall(tree.text(path))
    }
    return collect(tree, "".join([text, *(f" {name}()" for name in sorted(selected & defined))]))


def _activation(spec: FloatConvolution) -> list[str]:
    largest = float(np.finfo(np.float32).max)
    low, high = spec.bounds.minimum, spec.bounds.maximum
    return [
        f"params.activation.min = {number(-largest if low is None else low)};",
        f"params.activation.max = {number(largest if high is None else high)};",
    ]


def _dims(name: str, shape: Sequence[int]) -> list[str]:
    fields = zip("nhwc", shape, strict=True)
    return [f"cmsis_nn_dims {name};", *(f"{name}.{axis} = {extent};" for axis, extent in fields)]


def _one_a_line(text: str) -> str:
    """Statements and braces on lines of their own, but for the heads of loops."""
    lines = []
    for line in text.splitlines():
        if line.strip().startswith("for (") and line.endswith("{"):
            lines.append(line)
        else:
            line = line.replace("; ", ";\n").replace("{ ", "{\n").replace(" }", "\n}")
            lines.append(line.replace("} ", "}\n"))
    return "\n".join(lines)


def _kernel(text: str, constants: Sequence[Any], workspace_bytes: int = 0) -> KernelSource:
    arrays = tuple(np.ascontiguousarray(array, np.float32) for array in constants)
    return KernelSource(
        ("float32",),
        arrays,
        "float32",
        body(_one_a_line(text)),
        workspace_bytes=workspace_bytes,
        macs=math.prod(arrays[0].shape),
        headers=HEADERS,
        is_float=True,
    )


BLOCKED_LOOP = ExternalKernels(
    {FloatConv2D: _blocked_convolution, FloatDepthwiseConv2D: _plain_depthwise}
)
CMSIS_NN_FLOAT = ExternalKernels(
    {FloatConv2D: _cmsis_convolution, FloatDepthwiseConv2D: _cmsis_depthwise},
    headers=(HEADER,),
    sources="the sources of CMSIS-NN with float functions",
    collect=_collected,
)
