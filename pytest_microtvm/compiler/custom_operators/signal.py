"""The operators of TensorFlow Lite Micro's audio front end: from samples to log-mel features.

Each computes what TensorFlow Lite Micro's does, over integers bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pytest_microtvm.compiler.custom import CustomCall, CustomOperator, CustomTensor
from pytest_microtvm.compiler.custom_operators.checks import (
    constant_of,
    inputs_of,
    number_of,
)
from pytest_microtvm.compiler.custom_operators.fourier import (
    inverse_transform,
    lengths_of,
    real_transform,
    spectrum_lengths_of,
)
from pytest_microtvm.compiler.quantized.kernels.text import body

if TYPE_CHECKING:
    from pytest_microtvm.compiler.custom import Array, Shapes

_HEADER = Path(__file__).parents[1] / "quantized" / "include" / "tvmgen_signal.h"
_PCAN_TABLE = 125
"""Numbers that the gain's function takes: 4 for each power of 2, but for the first."""


def _same_shape(call: CustomCall) -> Shapes:
    first = call.inputs[0]
    if first is None:
        raise ValueError("its first input is left out")
    return [first.shape] * len(call.outputs)


def _size(call: CustomCall) -> int:
    return math.prod(_same_shape(call)[0])


def _window(call: CustomCall) -> str:
    """Frames times a window."""
    data, window = inputs_of(call, "int16", "int16")
    size = math.prod(window.shape)
    if data.shape[-1:] != (size,):
        raise ValueError(f"its window has {size} elements, and a frame {data.shape[-1:]}")
    return body(f"""
    for (int32_t i = 0; i < {_size(call)}; ++i) {{
      const int32_t product = (input0[i] * input1[i % {size}]) >> {number_of(call, "shift", 0, 31)};
      output[i] = (int16_t)(product < -32768 ? -32768 : product > 32767 ? 32767 : product);
    }}
    """)


def _auto_scale(call: CustomCall) -> str:
    """Samples shifted to the left as far as the greatest allows; how far."""
    inputs_of(call, "int16")
    return body(f"""
    int16_t most = 0;
    for (int32_t i = 0; i < {_size(call)}; ++i) {{
      if (input0[i] > most) {{
        most = input0[i];
      }} else if (-input0[i] > most) {{
        most = (int16_t)-input0[i];  /* stays -32768, which any other number is above */
      }}
    }}
    const int32_t room = 15 - microtvm_bits((uint32_t)(int32_t)most);
    const int32_t shift = room > 0 ? room : 0;
    for (int32_t i = 0; i < {_size(call)}; ++i) {{
      output[i] = (int16_t)(input0[i] * (1 << shift));
    }}
    output1[0] = shift;
    """)


def _scaled_shapes(call: CustomCall) -> Shapes:
    return [_same_shape(call)[0], ()]


def _rfft_shapes(call: CustomCall) -> Shapes:
    shape = _same_shape(call)[0]
    return [(*shape[:-1], lengths_of(call).transform + 2)]


def _irfft_shapes(call: CustomCall) -> Shapes:
    shape = _same_shape(call)[0]
    return [(*shape[:-1], spectrum_lengths_of(call).transform)]


def _energy_shapes(call: CustomCall) -> Shapes:
    [data] = inputs_of(call, "int16")
    return [(*data.shape[:-1], data.shape[-1] // 2)]


def _energy(call: CustomCall) -> str:
    """Squares of complex numbers, of some bins."""
    [data] = inputs_of(call, "int16")
    bins = data.shape[-1] // 2
    if len(data.shape) != 1:
        raise ValueError("it has more than one spectrum")
    end = number_of(call, "end_index", 0, bins)
    start = number_of(call, "start_index", 0, end)
    return body(f"""
    for (int32_t i = 0; i < {bins}; ++i) {{
      const int32_t real = input0[2 * i];
      const int32_t imaginary = input0[2 * i + 1];
      const int is_wanted = i >= {start} && i < {end};
      output[i] = is_wanted ? (uint32_t)(real * real) + (uint32_t)(imaginary * imaginary) : 0u;
    }}
    """)


def _bank_inputs(call: CustomCall) -> tuple[int, list[CustomTensor]]:
    given = inputs_of(call, "uint32", *["int16"] * 5)
    return number_of(call, "num_channels", 1, 1 << 12), given


def _bank_shapes(call: CustomCall) -> Shapes:
    return [(_bank_inputs(call)[0],)]


def _bank(call: CustomCall) -> str:
    """Sums of bins by triangles that overlap."""
    channels, (spectrum, weights, others, *tables) = _bank_inputs(call)
    places, begins, widths = (
        constant_of(each, "a table").astype(int).reshape(-1) for each in tables
    )
    if min(places.size, begins.size, widths.size) <= channels:
        raise ValueError(f"its tables do not have {channels + 1} channels")
    used = [table[: channels + 1] for table in (places, begins, widths)]
    least = min(math.prod(weights.shape), math.prod(others.shape))
    if (
        min(table.min() for table in used) < 0
        or (used[0] + used[2]).max() > math.prod(spectrum.shape)
        or (used[1] + used[2]).max() > least
    ):
        raise ValueError("its channels reach beyond its bins or weights")
    return body(f"""
    uint64_t sum = 0u;
    for (int32_t i = 0; i < {channels + 1}; ++i) {{
      uint64_t next = 0u;
      for (int32_t j = 0; j < input5[i]; ++j) {{
        const uint64_t energy = input0[input3[i] + j];
        sum += (uint64_t)(int64_t)input1[input4[i] + j] * energy;
        next += (uint64_t)(int64_t)input2[input4[i] + j] * energy;
      }}
      if (i > 0) {{
        output[i - 1] = sum;
      }}
      sum = next;
    }}
    """)


def _root(call: CustomCall) -> str:
    """Rounded square roots, shifted to the right."""
    inputs_of(call, "uint64", "int32")
    return body(f"""
    const int32_t shift = input1[0] < 0 ? 0 : input1[0];
    for (int32_t i = 0; i < {_size(call)}; ++i) {{
      output[i] = shift > 31 ? 0u : microtvm_rounded_root(input0[i]) >> shift;
    }}
    """)


def _subtraction(call: CustomCall) -> str:
    """What is above the noise, which is estimated by a filter that is kept from run to run."""
    inputs_of(call, "uint32")
    most = (1 << 31) - 1
    even, even_rest, odd, odd_rest, least = (
        f"{number_of(call, name, 0, most)}u"
        for name in (
            *("smoothing", "one_minus_smoothing"),
            *("alternate_smoothing", "alternate_one_minus_smoothing"),
            "min_signal_remaining",
        )
    )
    bits = number_of(call, "smoothing_bits", 0, 31)
    scale = number_of(call, "spectral_subtraction_bits", 0, 31)
    clamped = "noise = signal;" if call.options.get("clamping") else "(void)0;"
    return body(f"""
    for (int32_t i = 0; i < {_size(call)}; ++i) {{
      const uint64_t quick = i % 2 == 0 ? {even} : {odd};
      const uint64_t slow = i % 2 == 0 ? {even_rest} : {odd_rest};
      const uint32_t signal = input0[i] << {bits};
      uint32_t noise = (uint32_t)((signal * quick + input1[i] * slow) >> {scale});
      const uint32_t taken = noise > signal ? signal : noise;
      if (noise > signal) {{
        {clamped}
      }}
      const uint32_t least = (uint32_t)(((uint64_t)input0[i] * {least}) >> {scale});
      const uint32_t left = (signal - taken) >> {bits};
      output[i] = left > least ? left : least;
      output1[i] = noise;
      output2[i] = noise;
    }}
    """)


def _noise(call: CustomCall) -> Sequence[Array]:
    return [np.zeros(_same_shape(call)[0], np.uint32)]


def _pcan(call: CustomCall) -> str:
    """Automatic gain by the noise, then a square that becomes a line."""
    data, noise, table = inputs_of(call, "uint32", "uint32", "int16")
    if noise.shape != data.shape or math.prod(table.shape) < _PCAN_TABLE:
        raise ValueError("its noise or its table has another size")
    return body(f"""
    for (int32_t i = 0; i < {_size(call)}; ++i) {{
      const uint32_t gain = (uint32_t)(int32_t)microtvm_wide_function(input1[i], input2);
      const uint32_t ratio =
          (uint32_t)(((uint64_t)input0[i] * gain) >> {number_of(call, "snr_shift", 0, 63)});
      output[i] = ratio < 8192u ? (ratio * ratio) >> 20 : (ratio >> 6) - 64u;
    }}
    """)


def _log(call: CustomCall) -> str:
    """Natural logarithms."""
    inputs_of(call, "uint32")
    places = np.arange(129) / 128
    curve = np.rint((np.log2(1 + places) - places) * 65536).astype(int)
    scale = number_of(call, "output_scale", 0, (1 << 16) - 1)
    return body(f"""
    static const int16_t curve[] = {{{", ".join(map(str, curve))}}};
    for (int32_t i = 0; i < {_size(call)}; ++i) {{
      const uint32_t value = input0[i] << {number_of(call, "input_correction_bits", 0, 31)};
      const uint32_t found = value > 1u ? microtvm_scaled_log(value, {scale}u, curve) : 0u;
      output[i] = (int16_t)(found < 32767u ? found : 32767u);
    }}
    """)


def _operator(
    name: str,
    code: Callable[[CustomCall], str],
    shapes: Callable[[CustomCall], Shapes] = _same_shape,
    states: Callable[[CustomCall], Sequence[Array]] = lambda call: (),
) -> CustomOperator:
    return CustomOperator(name, shapes, code, files=(_HEADER,), states=states)


WINDOW = _operator("SignalWindow", _window)
AUTO_SCALE = _operator("SignalFftAutoScale", _auto_scale, _scaled_shapes)
RFFT = CustomOperator(
    "SignalRfft",
    _rfft_shapes,
    real_transform,
    workspace_bytes=lambda call: lengths_of(call).transform * lengths_of(call).element_bytes,
)
IRFFT = CustomOperator("SignalIrfft", _irfft_shapes, inverse_transform)
ENERGY = _operator("SignalEnergy", _energy, _energy_shapes)
FILTER_BANK = _operator("SignalFilterBank", _bank, _bank_shapes)
SQUARE_ROOT = _operator("SignalFilterBankSquareRoot", _root)
SUBTRACTION = _operator("SignalFilterBankSpectralSubtraction", _subtraction, _same_shape, _noise)
PCAN = _operator("SignalPCAN", _pcan)
LOG = _operator("SignalFilterBankLog", _log)
