"""TFLite's approximations over integers, element by element or row by row."""

from __future__ import annotations

from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.arithmetic import LIMITS
from pytest_microtvm.compiler.quantized.kernels.text import (
    Constants,
    body,
    centered,
    requantized,
)
from pytest_microtvm.compiler.quantized.specs import KernelSource
from pytest_microtvm.compiler.quantized.tflite_specs import (
    Interpolation,
    L2Normalization,
    LogSoftmax,
    Sigmoid,
    SoftmaxInt16,
    TwoSlopes,
)
from pytest_microtvm.compiler.quantized.tflite_tables import sigmoid_table

_HEADERS = ("tvmgen_fixed_point.h",)


def interpolation(spec: Interpolation) -> KernelSource:
    """A kernel that looks up each value, and how far it is to the next entry."""
    text = f"""
    for (int32_t i = 0; i < {spec.size}; ++i) {{
      output[i] = microtvm_interpolated(input0[i], constant0);
    }}
    """
    return KernelSource(
        ("int16",), (spec.table,), "int16", body(text), in_place=(0,), headers=_HEADERS
    )


def sigmoid(spec: Sigmoid) -> KernelSource:
    """A kernel that looks up the magnitude, and mirrors what it finds."""
    rounding = 1 << (spec.shift - 1) if spec.shift else 0
    bits, most = (8, 0xFFFF << 8) if spec.is_tanh else (9, 0x7FFF << 10)
    if spec.is_tanh:
        finish = """
          const int32_t result = at >= 0 ? value - 8388608 + 128 : 8388608 - value + 127;
          output[i] = (int16_t)(result >> 8);
        """
    else:
        finish = """
          const int32_t result = at >= 0 ? value + 512 : 33554432 - value + 511;
          output[i] = (int16_t)(result >> 10);
        """
    text = f"""
    for (int32_t i = 0; i < {spec.size}; ++i) {{
      const int32_t at = ((int32_t)input0[i] * {spec.multiplier} + {rounding}) >> {spec.shift};
      const int32_t magnitude = at < 0 ? -at : at;
      const int32_t place = magnitude >> {bits};
      int32_t value = {most};
      if (place < 255) {{
        const int32_t low = constant0[place];
        const int32_t high = constant0[place + 1];
        value = low * {1 << bits} + (magnitude & {(1 << bits) - 1}) * (high - low);
      }}
      {finish}
    }}
    """
    return KernelSource(("int16",), (sigmoid_table(),), "int16", body(text), in_place=(0,))


def two_slopes(spec: TwoSlopes) -> KernelSource:
    """A kernel with a factor for each sign."""
    constants: Constants = []
    positive = requantized(spec.positive, "value", "0", constants)
    turned = "-value" if spec.sign < 0 else "value"
    negative = requantized(spec.negative, turned, "0", constants)
    c_type = C_TYPES[spec.dtype]
    text = f"""
    for (int32_t i = 0; i < {spec.size}; ++i) {{
      const int32_t value = {centered("input0[i]", spec.input_zero_point)};
      output[i] = ({c_type})(value >= 0 ? {positive} : {negative});
    }}
    """
    return KernelSource((spec.dtype,), tuple(constants), spec.dtype, body(text), in_place=(0,))


def softmax_int16(spec: SoftmaxInt16) -> KernelSource:
    """A kernel that keeps the exponentials where the output goes."""
    text = f"""
    for (int32_t row = 0; row < {spec.rows}; ++row) {{
      int32_t greatest = -32768;
      for (int32_t c = 0; c < {spec.columns}; ++c) {{
        greatest = input0[c] > greatest ? input0[c] : greatest;
      }}
      int32_t sum = 0;
      for (int32_t c = 0; c < {spec.columns}; ++c) {{
        const int32_t scaled =
            microtvm_requantize(input0[c] - greatest, {spec.multiplier}, {spec.shift});
        const int32_t at = microtvm_clamp(scaled + 32767, -32768, 32767);
        output[c] = microtvm_interpolated((int16_t)at, constant0);
        sum += output[c];
      }}
      int32_t headroom = 0;
      while (!(((uint32_t)sum << headroom) & UINT32_C(0x80000000))) {{
        ++headroom;
      }}
      const int32_t shifted =
          (int32_t)(((int64_t)sum * (INT64_C(1) << (headroom - 1)) + 8192) >> 14);
      const int32_t place = microtvm_clamp(shifted - 98304, -32768, 32767);
      const int32_t factor = microtvm_interpolated((int16_t)place, constant1);
      const int32_t right = 31 - headroom;
      for (int32_t c = 0; c < {spec.columns}; ++c) {{
        const int64_t product = (int64_t)output[c] * factor + (INT64_C(1) << (right - 1));
        output[c] = (int16_t)microtvm_clamp((int32_t)(product >> right), 0, 32767);
      }}
      input0 += {spec.columns};
      output += {spec.columns};
    }}
    """
    return KernelSource(
        ("int16",),
        (spec.exponentials, spec.reciprocals),
        "int16",
        body(text),
        in_place=(0,),
        headers=_HEADERS,
    )


def l2_normalization(spec: L2Normalization) -> KernelSource:
    """A kernel that finds the factor of each row by Newton's method."""
    value = centered("input0[c]", spec.zero_point)
    low, high = LIMITS[spec.dtype]
    scaled = "microtvm_requantize(value, factor, shift + 7)"
    if spec.dtype == "uint8":
        scaled = "128 + microtvm_requantize(128 * value, factor, shift)"
    text = f"""
    for (int32_t row = 0; row < {spec.rows}; ++row) {{
      int32_t squares = 0;
      for (int32_t c = 0; c < {spec.columns}; ++c) {{
        const int32_t value = {value};
        squares += value * value;
      }}
      int32_t shift;
      const int32_t factor = microtvm_inverse_sqrt(squares, &shift);
      for (int32_t c = 0; c < {spec.columns}; ++c) {{
        const int32_t value = {value};
        output[c] = ({C_TYPES[spec.dtype]})microtvm_clamp({scaled}, {low}, {high});
      }}
      input0 += {spec.columns};
      output += {spec.columns};
    }}
    """
    return KernelSource((spec.dtype,), (), spec.dtype, body(text), in_place=(0,), headers=_HEADERS)


def log_softmax(spec: LogSoftmax) -> KernelSource:
    """A kernel that adds exponentials first, and takes the logarithm of their sum from each."""
    low, high = LIMITS[spec.dtype]
    factor = 1 << spec.shift if spec.shift < 31 else 0
    scaled = f"microtvm_high_multiply((input0[c] - greatest) * {factor}, {spec.multiplier})"
    text = f"""
    for (int32_t row = 0; row < {spec.rows}; ++row) {{
      int32_t greatest = {low};
      for (int32_t c = 0; c < {spec.columns}; ++c) {{
        greatest = input0[c] > greatest ? input0[c] : greatest;
      }}
      int32_t sum = 0;
      for (int32_t c = 0; c < {spec.columns}; ++c) {{
        if (input0[c] - greatest >= {spec.least_difference}) {{
          sum += microtvm_rounding_shift(microtvm_exp({scaled}), 12);
        }}
      }}
      const int32_t logarithm = microtvm_log(sum);
      const int32_t held = microtvm_requantize(
          logarithm + INT32_MIN, {spec.divisor}, {spec.divisor_shift});
      const int32_t least = held > {spec.least_difference - 1} ? held : {spec.least_difference - 1};
      for (int32_t c = 0; c < {spec.columns}; ++c) {{
        int32_t value = {low};
        if (input0[c] - greatest > least) {{
          value = microtvm_rounding_shift({scaled} - logarithm, 22) + {high};
        }}
        output[c] = ({C_TYPES[spec.dtype]})microtvm_clamp(value, {low}, {high});
      }}
      input0 += {spec.columns};
      output += {spec.columns};
    }}
    """
    return KernelSource((spec.dtype,), (), spec.dtype, body(text), in_place=(0,), headers=_HEADERS)
