"""Layers that remember."""

from __future__ import annotations

import numpy as np

from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.kernels.text import (
    Constants,
    body,
    centered,
    requantized,
)
from pytest_microtvm.compiler.quantized.specs import KernelSource, Role
from pytest_microtvm.compiler.quantized.tflite_specs import Lstm, LstmGate, SvdfOutput, SvdfState

_GATES = ("into", "forget", "fresh", "out")


def svdf_state(spec: SvdfState) -> KernelSource:
    """A kernel that moves the memory of each filter by one, and adds what the filter gives now."""
    filters, inputs = spec.weights.shape
    constants: Constants = [spec.weights]
    dtype = spec.requantization.dtype
    newest = requantized(spec.requantization, "sum", "0", constants)
    if spec.zero_point:
        newest = f"{newest} + {spec.zero_point}"
    text = f"""
    for (int32_t n = 0; n < {spec.batches}; ++n) {{
      const int8_t *weights = constant0;
      for (int32_t f = 0; f < {filters}; ++f) {{
        int32_t sum = 0;
        for (int32_t k = 0; k < {inputs}; ++k) {{
          sum += *weights++ * {centered("input0[k]", spec.input_zero_point)};
        }}
        for (int32_t i = 1; i < {spec.memory}; ++i) {{
          *output++ = input1[i];
        }}
        *output++ = ({C_TYPES[dtype]})({newest});
        input1 += {spec.memory};
      }}
      input0 += {inputs};
    }}
    """
    return KernelSource(
        (spec.input_dtype, dtype),
        tuple(constants),
        dtype,
        body(text),
        macs=spec.batches * filters * inputs,
    )


def svdf_output(spec: SvdfOutput) -> KernelSource:
    """A kernel that adds up the filters of each output."""
    filters, memory = spec.weights.shape
    constants: Constants = [spec.weights]
    start = "0"
    if spec.bias is not None:
        start = f"constant{len(constants)}[c]"
        constants.append(spec.bias)
    output = requantized(spec.requantization, "sum", "0", constants)
    text = f"""
    for (int32_t n = 0; n < {spec.batches}; ++n) {{
      const {C_TYPES[str(spec.weights.dtype)]} *weights = constant0;
      for (int32_t c = 0; c < {filters // spec.rank}; ++c) {{
        int32_t sum = {start};
        for (int32_t k = 0; k < {spec.rank * memory}; ++k) {{
          sum += *weights++ * {centered("*input0", spec.zero_point)};
          ++input0;
        }}
        *output++ = ({C_TYPES[spec.requantization.dtype]}){output};
      }}
    }}
    """
    return KernelSource(
        (spec.state_dtype,),
        tuple(constants),
        spec.requantization.dtype,
        body(text),
        macs=spec.batches * filters * memory,
    )


def lstm(spec: Lstm) -> KernelSource:
    """A kernel that takes all steps; the states are changed where they are put out."""
    present = [(name, g) for name, g in zip(_GATES, spec.gates, strict=True) if g is not None]
    gates = [gate for _, gate in present]
    units, inputs = gates[0].weights.shape
    row = f"step * {spec.batches} + n" if spec.is_time_major else f"n * {spec.steps} + step"
    sums = [
        line
        for number, (name, gate) in enumerate(present)
        for line in _gate(name, number, len(gates), gate)
    ]
    clip, newline = spec.cell_clip, "\n"
    if spec.gates[0] is None:
        sums.append("const int32_t into = INT16_MAX - forget;")
    text = f"""
    for (int32_t i = 0; i < {spec.batches * units}; ++i) {{
      output1[i] = input1[i];
      output2[i] = input2[i];
    }}
    for (int32_t step = 0; step < {spec.steps}; ++step) {{
      for (int32_t n = 0; n < {spec.batches}; ++n) {{
        const int8_t *x = input0 + ({row}) * {inputs};
        int8_t *y = output + ({row}) * {units};
        int8_t *hidden = output1 + n * {units};
        int16_t *cells = output2 + n * {units};
        for (int32_t u = 0; u < {units}; ++u) {{
          const int8_t *w = constant0 + u * {len(gates) * inputs};
          const int8_t *r = constant1 + u * {len(gates) * units};
          const int32_t *starts = constant2 + u * {2 * len(gates)};
          {newline.join(sums)}
          const int32_t kept = microtvm_rounding_shift(forget * cells[u], 15);
          const int32_t added = microtvm_rounding_shift(into * fresh, {15 + spec.cell_bits});
          int32_t cell = microtvm_saturate16(kept + added);
          {f"cell = microtvm_clamp(cell, {-clip}, {clip});" if clip else ""}
          cells[u] = (int16_t)cell;
          const int32_t product = out * microtvm_tanh16(cell, {spec.cell_bits});
          const int32_t value = microtvm_requantize(product, {_pair(spec.hidden_scaling)});
          y[u] = (int8_t)microtvm_clamp({centered("value", -spec.hidden_zero_point)}, -128, 127);
        }}
        for (int32_t u = 0; u < {units}; ++u) {{
          hidden[u] = y[u];
        }}
      }}
    }}
    """
    starts = [start for gate in gates for start in (gate.bias, gate.recurrent_bias)]
    order = ", ".join(name for name, _ in present)
    return KernelSource(
        ("int8", "int8", "int16"),
        (
            np.stack([gate.weights for gate in gates], 1),
            np.stack([gate.recurrent for gate in gates], 1),
            np.stack(starts, 1),
        ),
        "int8",
        body(text),
        macs=spec.steps * spec.batches * units * len(gates) * (inputs + units),
        headers=("tvmgen_recurrent.h",),
        roles=(
            Role("weights", f"of each unit its gates ({order}), the inputs of each"),
            Role("recurrent", f"of each unit its gates ({order}), the units of each"),
            Role("starts", f"of each unit and gate ({order}), what both sums begin with"),
        ),
        more_outputs=("int8", "int16"),
    )


def _gate(name: str, number: int, count: int, gate: LstmGate) -> list[str]:
    """C: a gate of the unit `u`, as a variable of its name."""
    units, inputs = gate.weights.shape
    function = "microtvm_tanh16({}, 3)" if name == "fresh" else "microtvm_logistic16({})"
    total = function.format(f"microtvm_saturate16({name}_x + {name}_h)")
    given = f"x, w + {number * inputs}, {inputs}, starts[{2 * number}]"
    kept = f"hidden, r + {number * units}, {units}, starts[{2 * number + 1}]"
    return [
        f"const int32_t {name}_x = microtvm_saturate16(microtvm_requantize("
        f"microtvm_dot8({given}), {_pair(gate.scaling)}));",
        f"const int32_t {name}_h = microtvm_requantize("
        f"microtvm_dot8({kept}), {_pair(gate.recurrent_scaling)});",
        f"const int32_t {name} = {total};",
    ]


def _pair(scaling: tuple[int, int]) -> str:
    return f"{scaling[0]}, {scaling[1]}"
