"""An accelerator that tests register, and a library with the functions of CMSIS-NN."""

from __future__ import annotations

from pathlib import Path

from pytest_microtvm.compiler.program import Device
from pytest_microtvm.compiler.quantized.external import ExternalKernels
from pytest_microtvm.compiler.quantized.specs import KernelSource, Pool

HERE = Path(__file__).parent


def max_pool(spec: Pool) -> KernelSource | None:
    """The one layer that the accelerator has: a maximum over windows inside of the image."""
    if spec.kind != "max" or not spec.window.is_inside(spec.input_shape, spec.output_shape):
        return None
    _, _, width, channels = spec.input_shape
    _, rows, columns, _ = spec.output_shape
    body = (
        f"  NpuMaxPool(device, input0, {width}, {channels}, output, {rows}, {columns},\n"
        f"      {spec.window.shape[0]}, {spec.window.shape[1]},\n"
        f"      {spec.window.strides[0]}, {spec.window.strides[1]}, (int8_t *)workspace);\n"
    )
    return KernelSource(("int8",), (), "int8", body, workspace_bytes=64)


def npu(folder: Path) -> ExternalKernels:
    """The accelerator, with its driver in a folder.

    The driver writes down what is called, in an array of letters. A hook fails whose letter the
    instance is, which is a character.
    """
    header, source = folder / "npu.h", folder / "npu.c"
    header.write_text(_HEADER)
    source.write_text(_SOURCE)
    return ExternalKernels(
        kernels={Pool: max_pool},
        device=Device("npu", 7),
        headers=("npu.h",),
        files=(header, source),
        link_flags=("-lm",),
    )


_HEADER = """\
/* The driver of an accelerator that is none. */
#ifndef NPU_H_
#define NPU_H_
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
extern char npu_calls[64];
void NpuMaxPool(void *device, const int8_t *input, int32_t width, int32_t channels, int8_t *output,
                int32_t rows, int32_t columns, int32_t high, int32_t wide, int32_t down,
                int32_t right, int8_t *scratch);
int32_t TVMDeviceNpuActivate(void *context);
int32_t TVMDeviceNpuOpen(void *context);
int32_t TVMDeviceNpuClose(void *context);
int32_t TVMDeviceNpuDeactivate(void *context);
#ifdef __cplusplus
}
#endif
#endif
"""
_SOURCE = """\
#include "npu.h"
char npu_calls[64];
static int32_t Note(char what, void *context) {
  uint32_t i = 0;
  while (npu_calls[i] != 0) {
    ++i;
  }
  npu_calls[i] = what;
  return context != 0 && *(const char *)context == what ? -5 : 0;
}
int32_t TVMDeviceNpuActivate(void *context) { return Note('a', context); }
int32_t TVMDeviceNpuOpen(void *context) { return Note('o', context); }
int32_t TVMDeviceNpuClose(void *context) { return Note('c', context); }
int32_t TVMDeviceNpuDeactivate(void *context) { return Note('d', context); }
void NpuMaxPool(void *device, const int8_t *input, int32_t width, int32_t channels, int8_t *output,
                int32_t rows, int32_t columns, int32_t high, int32_t wide, int32_t down,
                int32_t right, int8_t *scratch) {
  (void)Note('k', device);
  for (int32_t i = 0; i < rows * columns * channels; ++i) {
    const int32_t channel = i % channels;
    const int32_t left = i / channels % columns * right;
    const int32_t top = i / channels / columns * down;
    scratch[0] = -128;
    for (int32_t tap = 0; tap < high * wide; ++tap) {
      const int32_t place = (top + tap / wide) * width + left + tap % wide;
      const int8_t value = input[place * channels + channel];
      scratch[0] = value > scratch[0] ? value : scratch[0];
    }
    output[i] = scratch[0];
  }
}
"""


def write_cmsis_nn(folder: Path) -> Path:
    """A library with the functions of CMSIS-NN that kernels call, written for the tests."""
    for name, text in _CMSIS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


_TYPES = """\
#ifndef ARM_NN_TYPES_H
#define ARM_NN_TYPES_H
#include <stdint.h>
typedef enum { ARM_CMSIS_NN_SUCCESS = 0, ARM_CMSIS_NN_ARG_ERROR = -1 } arm_cmsis_nn_status;
typedef struct { int32_t w, h; } cmsis_nn_tile;
typedef struct { void *buf; int32_t size; } cmsis_nn_context;
typedef struct { int32_t n, h, w, c; } cmsis_nn_dims;
typedef struct { int32_t *multiplier, *shift; } cmsis_nn_per_channel_quant_params;
typedef struct { int32_t multiplier, shift; } cmsis_nn_per_tensor_quant_params;
typedef struct { int32_t min, max; } cmsis_nn_activation;
typedef struct {
  int32_t input_offset, output_offset;
  cmsis_nn_tile stride, padding, dilation;
  cmsis_nn_activation activation;
} cmsis_nn_conv_params;
typedef struct {
  int32_t input_offset, output_offset, ch_mult;
  cmsis_nn_tile stride, padding, dilation;
  cmsis_nn_activation activation;
} cmsis_nn_dw_conv_params;
typedef struct {
  int32_t input_offset, filter_offset, output_offset;
  cmsis_nn_activation activation;
} cmsis_nn_fc_params;
#endif
"""
_FUNCTIONS = """\
#ifndef ARM_NNFUNCTIONS_H
#define ARM_NNFUNCTIONS_H
#include "Internal/arm_nn_types.h"
#ifdef __cplusplus
extern "C" {
#endif
arm_cmsis_nn_status arm_convolve_wrapper_s8(
    const cmsis_nn_context *ctx, const cmsis_nn_conv_params *params,
    const cmsis_nn_per_channel_quant_params *quant, const cmsis_nn_dims *in, const int8_t *input,
    const cmsis_nn_dims *filter, const int8_t *weights, const cmsis_nn_dims *bias_dims,
    const int32_t *bias, const cmsis_nn_dims *out, int8_t *output);
arm_cmsis_nn_status arm_depthwise_conv_wrapper_s8(
    const cmsis_nn_context *ctx, const cmsis_nn_dw_conv_params *params,
    const cmsis_nn_per_channel_quant_params *quant, const cmsis_nn_dims *in, const int8_t *input,
    const cmsis_nn_dims *filter, const int8_t *weights, const cmsis_nn_dims *bias_dims,
    const int32_t *bias, const cmsis_nn_dims *out, int8_t *output);
arm_cmsis_nn_status arm_fully_connected_s8(
    const cmsis_nn_context *ctx, const cmsis_nn_fc_params *params,
    const cmsis_nn_per_tensor_quant_params *quant, const cmsis_nn_dims *in, const int8_t *input,
    const cmsis_nn_dims *filter, const int8_t *weights, const cmsis_nn_dims *bias_dims,
    const int32_t *bias, const cmsis_nn_dims *out, int8_t *output);
int8_t arm_test_requantize(int32_t sum, int32_t multiplier, int32_t shift, int32_t offset,
                           cmsis_nn_activation limits);
#ifdef __cplusplus
}
#endif
#endif
"""
_REQUANTIZE = """\
#include "arm_nnfunctions.h"
int8_t arm_test_requantize(int32_t sum, int32_t multiplier, int32_t shift, int32_t offset,
                           cmsis_nn_activation limits) {
  const int64_t left = (int64_t)sum * (shift > 0 ? (int64_t)1 << shift : 1) * multiplier;
  const int64_t high = (left + (left < 0 ? 1 - ((int64_t)1 << 30) : (int64_t)1 << 30)) / 2147483648;
  int64_t result = high;
  if (shift < 0) {
    const int64_t half = (int64_t)1 << (-shift - 1);
    result = high < 0 ? -((-high + half) >> -shift) : (high + half) >> -shift;
  }
  result += offset;
  result = result < limits.min ? limits.min : result > limits.max ? limits.max : result;
  return (int8_t)result;
}
"""
_CONVOLVE = """\
#include "arm_nnfunctions.h"
arm_cmsis_nn_status {function}(
    const cmsis_nn_context *ctx, const {params} *params,
    const cmsis_nn_per_channel_quant_params *quant, const cmsis_nn_dims *in, const int8_t *input,
    const cmsis_nn_dims *filter, const int8_t *weights, const cmsis_nn_dims *bias_dims,
    const int32_t *bias, const cmsis_nn_dims *out, int8_t *output) {{
  (void)ctx;
  (void)bias_dims;
  for (int32_t i = 0; i < out->n * out->h * out->w * out->c; ++i) {{
    const int32_t channel = i % out->c;
    const int32_t x = i / out->c % out->w * params->stride.w - params->padding.w;
    const int32_t y = i / out->c / out->w % out->h * params->stride.h - params->padding.h;
    const int8_t *image = input + i / (out->h * out->w * out->c) * in->h * in->w * in->c;
    int32_t sum = bias[channel];
    for (int32_t tap = 0; tap < filter->h * filter->w; ++tap) {{
      const int32_t row = y + tap / filter->w * params->dilation.h;
      const int32_t column = x + tap % filter->w * params->dilation.w;
      if (row >= 0 && row < in->h && column >= 0 && column < in->w) {{
        const int8_t *pixel = image + (row * in->w + column) * in->c;
{taps}
      }}
    }}
    output[i] = arm_test_requantize(sum, quant->multiplier[channel], quant->shift[channel],
                                    params->output_offset, params->activation);
  }}
  return ARM_CMSIS_NN_SUCCESS;
}}
"""
_ALL_CHANNELS = """\
        const int8_t *row_of = weights + (channel * filter->h * filter->w + tap) * in->c;
        for (int32_t k = 0; k < in->c; ++k) {
          sum += (pixel[k] + params->input_offset) * row_of[k];
        }"""
_ONE_CHANNEL = """\
        sum += (pixel[channel / params->ch_mult] + params->input_offset) *
               weights[tap * out->c + channel];"""
_CONNECTED = """\
#include "arm_nnfunctions.h"
arm_cmsis_nn_status arm_fully_connected_s8(
    const cmsis_nn_context *ctx, const cmsis_nn_fc_params *params,
    const cmsis_nn_per_tensor_quant_params *quant, const cmsis_nn_dims *in, const int8_t *input,
    const cmsis_nn_dims *filter, const int8_t *weights, const cmsis_nn_dims *bias_dims,
    const int32_t *bias, const cmsis_nn_dims *out, int8_t *output) {
  (void)ctx;
  (void)bias_dims;
  for (int32_t i = 0; i < in->n * out->c; ++i) {
    int32_t sum = bias[i % out->c];
    for (int32_t k = 0; k < filter->n; ++k) {
      sum += (input[i / out->c * filter->n + k] + params->input_offset) *
             weights[i % out->c * filter->n + k];
    }
    output[i] = arm_test_requantize(sum, quant->multiplier, quant->shift, params->output_offset,
                                    params->activation);
  }
  return ARM_CMSIS_NN_SUCCESS;
}
"""
_UNUSED = "int32_t arm_not_called_s8(void);\nint32_t arm_not_called_s8(void) {\n  return 1;\n}\n"
_CMSIS = {
    "Include/arm_nnfunctions.h": _FUNCTIONS,
    "Include/Internal/arm_nn_types.h": _TYPES,
    "Source/NNSupportFunctions/arm_test_requantize.c": _REQUANTIZE,
    "Source/ConvolutionFunctions/arm_convolve_wrapper_s8.c": _CONVOLVE.format(
        function="arm_convolve_wrapper_s8", params="cmsis_nn_conv_params", taps=_ALL_CHANNELS
    ),
    "Source/ConvolutionFunctions/arm_depthwise_conv_wrapper_s8.c": _CONVOLVE.format(
        function="arm_depthwise_conv_wrapper_s8",
        params="cmsis_nn_dw_conv_params",
        taps=_ONE_CHANNEL,
    ),
    "Source/FullyConnectedFunctions/arm_fully_connected_s8.c": _CONNECTED,
    "Source/NNSupportFunctions/arm_not_called_s8.c": _UNUSED,
}
