"""TensorFlow Lite Micro's operators that keep samples or frames for later runs.

Each computes what TensorFlow Lite Micro's does, bit for bit. What that leaves unwritten, because
not enough has come yet, is 0 here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_microtvm.compiler.custom import CustomCall, CustomOperator, CustomTensor
from pytest_microtvm.compiler.custom_operators.checks import inputs_of, number_of
from pytest_microtvm.compiler.quantized.kernels.text import body

if TYPE_CHECKING:
    from pytest_microtvm.compiler.custom import Array, Shapes

_MOST = 1 << 16


def _rows(tensor: CustomTensor, inner: int) -> int:
    """How often its innermost dimensions are there."""
    if len(tensor.shape) < inner or 0 in tensor.shape:
        raise ValueError(f"its input has the shape {list(tensor.shape)}")
    return math.prod(tensor.shape[:-inner])


def _delayed(call: CustomCall) -> tuple[int, int, int]:
    """Rows, samples of each, and how many of them stay behind."""
    [data] = inputs_of(call, "int16")
    return _rows(data, 1), data.shape[-1], number_of(call, "delay_length", 0, _MOST)


def _delay_states(call: CustomCall) -> Sequence[Array]:
    rows, _, delay = _delayed(call)
    return [np.zeros([rows, delay], np.int16)] if delay else []


def _delay(call: CustomCall) -> str:
    """What came some samples earlier."""
    rows, size, delay = _delayed(call)
    if not delay:
        return body(f"""
        for (int32_t i = 0; i < {rows * size}; ++i) {{
          output[i] = input0[i];
        }}
        """)
    return body(f"""
    for (int32_t row = 0; row < {rows}; ++row) {{
      for (int32_t i = 0; i < {size + delay}; ++i) {{
        const int16_t sample = i < {delay} ? input1[i] : input0[i - {delay}];
        if (i < {size}) {{
          output[i] = sample;
        }} else {{
          output1[i - {size}] = sample;
        }}
      }}
      input0 += {size};
      output += {size};
      input1 += {delay};
      output1 += {delay};
    }}
    """)


@dataclass(frozen=True)
class _Framing:
    """How samples are cut into frames that overlap.

    Args:
        rows: Of samples.
        frames: Of each row and run.
        size: Samples of a frame.
        step: From a frame to the next.
        is_prefilled: Whether zeros come before the first sample, so that each frame is valid.
    """

    rows: int
    frames: int
    size: int
    step: int
    is_prefilled: bool

    @property
    def kept(self) -> int:
        """Samples of each row that the next run begins with."""
        if self.is_prefilled:
            return self.size - self.step
        return (self.size - 1) // self.step * self.step


def _framing(call: CustomCall) -> _Framing:
    [data] = inputs_of(call, "int16")
    size, step = (number_of(call, f"frame_{name}", 1, _MOST) for name in ("size", "step"))
    is_prefilled = bool(call.options.get("prefill", False))
    rows = _rows(data, 1)
    if data.shape[-1] % step:
        raise ValueError(f"its {data.shape[-1]} samples are no multiple of its frame_step {step}")
    if is_prefilled and size < step:
        raise ValueError(f"its frame_size {size} is less than its frame_step {step}")
    return _Framing(rows, data.shape[-1] // step, size, step, is_prefilled)


def _frame_shapes(call: CustomCall) -> Shapes:
    use = _framing(call)
    [data] = inputs_of(call, "int16")
    return [(*data.shape[:-1], use.frames, use.size), ()]


def _frame_states(call: CustomCall) -> Sequence[Array]:
    """Samples that are kept, and how many of them have come."""
    use = _framing(call)
    samples = [np.zeros([use.rows, use.kept], np.int16)] if use.kept else []
    return [*samples, *([np.zeros([1], np.int32)] if use.kept and not use.is_prefilled else [])]


def _frame(call: CustomCall) -> str:
    """Frames of samples, and whether all of them are full."""
    use = _framing(call)
    kept, given = use.kept, use.frames * use.step
    is_counted = bool(kept) and not use.is_prefilled
    sample = f"at < {kept} ? input1[at] : input0[at - {kept}]" if kept else "input0[at]"
    count = f"const int32_t count = {'input2[0]' if is_counted else kept};"
    later = f"""
      for (int32_t i = 0; i < {kept}; ++i) {{
        const int32_t at = {given} + i;
        output2[i] = {sample};
      }}
      input1 += {kept};
      output2 += {kept};
    """
    counted = f"output3[0] = count + {given} < {kept} ? count + {given} : {kept};"
    return body(f"""
    {count}
    output1[0] = count >= {kept};
    for (int32_t row = 0; row < {use.rows}; ++row) {{
      for (int32_t frame = 0; frame < {use.frames}; ++frame) {{
        const int is_full = count + frame * {use.step} >= {kept};
        for (int32_t i = 0; i < {use.size}; ++i) {{
          const int32_t at = frame * {use.step} + i;
          const int16_t sample = {sample};
          output[frame * {use.size} + i] = is_full ? sample : 0;
        }}
      }}
      {later if kept else ""}
      input0 += {given};
      output += {use.frames * use.size};
    }}
    {counted if is_counted else ""}
    """)


@dataclass(frozen=True)
class _Stacking:
    """How frames are put side by side.

    Args:
        channels: Of a frame.
        left: Frames before the one that is meant; the first one stands for those before it.
        right: Frames behind it.
        step: Runs from one output to the next.
    """

    channels: int
    left: int
    right: int
    step: int

    @property
    def earlier(self) -> int:
        """Frames that are kept from run to run."""
        return self.left + self.right


def _stacking(call: CustomCall) -> _Stacking:
    [data] = inputs_of(call, "int16")
    channels = number_of(call, "num_channels", 1, _MOST)
    left, right = (
        number_of(call, f"stacker_{side}_context", 0, _MOST // channels)
        for side in ("left", "right")
    )
    if math.prod(data.shape) != channels:
        raise ValueError(f"its input has the shape {list(data.shape)}, not {channels} channels")
    step = number_of(call, "stacker_step", 1, left + right + 1)
    return _Stacking(channels, left, right, step)


def _stack_shapes(call: CustomCall) -> Shapes:
    use = _stacking(call)
    return [(use.channels * (use.earlier + 1),), ()]


def _stack_states(call: CustomCall) -> Sequence[Array]:
    """Frames that are kept, and how many of them count; -1 before the first run."""
    use = _stacking(call)
    if not use.earlier:
        return []
    return [np.zeros([use.earlier * use.channels], np.int16), np.full([1], -1, np.int32)]


def _stack(call: CustomCall) -> str:
    """A frame with those around it, and whether all of them have come."""
    use = _stacking(call)
    kept = use.earlier * use.channels
    if not kept:
        return body(f"""
        for (int32_t i = 0; i < {use.channels}; ++i) {{
          output[i] = input0[i];
        }}
        output1[0] = 1;
        """)
    return body(f"""
    const int is_first = input2[0] < 0;
    const int32_t count = is_first ? {use.left} : input2[0];
    const int is_full = count >= {use.earlier};
    for (int32_t i = 0; i < {kept + use.channels}; ++i) {{
      const int16_t given = input0[i % {use.channels}];
      const int16_t value = i >= {kept} || is_first ? given : input1[i];
      output[i] = is_full ? value : 0;
      if (i >= {use.channels}) {{
        output2[i - {use.channels}] = value;
      }}
    }}
    output1[0] = count >= {use.earlier};
    output3[0] = is_full ? {use.earlier + 1 - use.step} : count + 1;
    """)


@dataclass(frozen=True)
class _Overlap:
    """How frames that overlap are added up.

    Args:
        rows: Of frames.
        frames: Of each row and run.
        size: Samples of a frame.
        step: From a frame to the next.
        dtype: int16 or float32.
    """

    rows: int
    frames: int
    size: int
    step: int
    dtype: str

    @property
    def kept(self) -> int:
        """Samples of each row that the next frame is added to."""
        return self.size - self.step


def _overlap(call: CustomCall) -> _Overlap:
    [data] = call.inputs
    if data is None or data.dtype not in ("int16", "float32"):
        raise ValueError("its input is neither int16 nor float32")
    rows = _rows(data, 2)
    frames, size = data.shape[-2:]
    return _Overlap(rows, frames, size, number_of(call, "frame_step", 1, size), data.dtype)


def _overlap_shapes(call: CustomCall) -> Shapes:
    use = _overlap(call)
    assert call.inputs[0] is not None
    return [(*call.inputs[0].shape[:-2], use.frames * use.step)]


def _overlap_states(call: CustomCall) -> Sequence[Array]:
    use = _overlap(call)
    return [np.zeros([use.rows, use.kept], use.dtype)] if use.kept else []


def _overlap_bytes(call: CustomCall) -> int:
    use = _overlap(call)
    return use.size * np.dtype(use.dtype).itemsize


def _add_overlapping(call: CustomCall) -> str:
    """Samples out of frames; sums of integers are held within their bounds."""
    use = _overlap(call)
    c_type, sum_type = ("float", "float") if use.dtype == "float32" else ("int16_t", "int32_t")
    bounded = (
        "sum" if use.dtype == "float32" else "sum < -32768 ? -32768 : sum > 32767 ? 32767 : sum"
    )
    first = f"i < {use.kept} ? input1[i] : 0" if use.kept else "0"
    later = f"""
      for (int32_t i = 0; i < {use.kept}; ++i) {{
        output1[i] = sums[i];
      }}
      input1 += {use.kept};
      output1 += {use.kept};
    """
    return body(f"""
    {c_type} *const sums = ({c_type} *)(void *)workspace;
    for (int32_t row = 0; row < {use.rows}; ++row) {{
      for (int32_t i = 0; i < {use.size}; ++i) {{
        sums[i] = {first};
      }}
      for (int32_t frame = 0; frame < {use.frames}; ++frame) {{
        for (int32_t i = 0; i < {use.size}; ++i) {{
          const {sum_type} sum = sums[i] + input0[i];
          sums[i] = ({c_type})({bounded});
        }}
        for (int32_t i = 0; i < {use.step}; ++i) {{
          output[i] = sums[i];
        }}
        for (int32_t i = 0; i < {use.size}; ++i) {{
          sums[i] = i < {use.kept} ? sums[i + {use.step}] : 0;
        }}
        input0 += {use.size};
        output += {use.step};
      }}
      {later if use.kept else ""}
    }}
    """)


def _delay_shapes(call: CustomCall) -> Shapes:
    [data] = inputs_of(call, "int16")
    return [data.shape]


DELAY = CustomOperator("SignalDelay", _delay_shapes, _delay, states=_delay_states)
FRAMER = CustomOperator("SignalFramer", _frame_shapes, _frame, states=_frame_states)
STACKER = CustomOperator("SignalStacker", _stack_shapes, _stack, states=_stack_states)
OVERLAP_ADD = CustomOperator(
    "SignalOverlapAdd",
    _overlap_shapes,
    _add_overlapping,
    states=_overlap_states,
    workspace_bytes=_overlap_bytes,
)
