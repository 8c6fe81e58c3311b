"""A package of somebody else's: a front end, an operator, kernels for a CPU, an accelerator."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_microtvm import CustomOperator
from pytest_microtvm.compiler.frontends import ImportedModel, imported
from pytest_microtvm.compiler.program import Device
from pytest_microtvm.compiler.quantized.cpu import CpuExtension
from pytest_microtvm.compiler.quantized.external import ExternalKernels
from pytest_microtvm.compiler.quantized.operator import Operator
from pytest_microtvm.compiler.quantized.recognise.matches import Match, Output
from pytest_microtvm.compiler.quantized.recognise.values import Values
from pytest_microtvm.compiler.quantized.specs import KernelSource, Spec


def import_acme(data: bytes, input_shapes: Mapping[str, tuple[int, ...]]) -> ImportedModel:
    """Import JSON: how many values of int8 become positive, and how they are quantized."""
    from tvm import relax

    model = json.loads(data)
    x = relax.Var("x", relax.TensorType((model["size"],), "int8"))
    scale = relax.const(model["scale"], "float32")
    zero_point = relax.const(model["zero_point"], "int8")
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        with builder.dataflow():
            real = builder.emit(relax.op.dequantize(x, scale, zero_point))
            positive = builder.emit(relax.op.abs(real))
            result = builder.emit_output(
                relax.op.quantize(positive, scale, zero_point, out_dtype="int8")
            )
        builder.emit_func_output(result)
    return imported(builder.get(), None, None)


@dataclass(frozen=True)
class Abs(Spec):
    """The magnitude of each element, in the same scale."""

    size: int
    zero_point: int


def recognize_abs(values: Values, call: Any, output: Output) -> Match | None:
    """`abs` of int8 in the scale of its input."""
    source = values.activation(call.args[0])
    if source is None or source.dtype != "int8" or source.quantization != output.quantization:
        return None
    spec = Abs(source.shape[0], source.quantization.zero_point)
    return Match("abs", spec, (source.expression,))


def _kernel(spec: Abs, magnitude: str, headers: tuple[str, ...] = ()) -> KernelSource:
    body = f"""\
  for (int32_t i = 0; i < {spec.size}; ++i) {{
    const int32_t value = input0[i] - ({spec.zero_point});
    const int32_t result = ({magnitude}) + ({spec.zero_point});
    output[i] = (int8_t)(result > 127 ? 127 : result);
  }}
"""
    return KernelSource(("int8",), (), "int8", body, headers=headers)


def portable_abs(spec: Abs) -> KernelSource:
    """For every CPU."""
    magnitude = "value < 0 ? -value : value"
    return _kernel(spec, magnitude)


def acme_abs(spec: Abs) -> KernelSource | None:
    """For ACME's CPUs, which work on four elements at a time."""
    if spec.size % 4:
        return None
    return _kernel(spec, "acme_abs(value)", (str(Path(__file__).with_name("acme_abs.h")),))


ABS = Operator("abs", recognize_abs, {Abs: portable_abs})
EXTENSION = CpuExtension({Abs: acme_abs})


NEGATED = CustomOperator(
    name="AcmeNegated",
    shapes=lambda call: [tensor.shape for tensor in call.inputs if tensor is not None],
    code=lambda call: "for (int32_t i = 0; i < 3; ++i) { output[i] = -input0[i]; }",
    reference=lambda call, arrays: [-arrays[0]],
)


def npu_abs(spec: Abs) -> KernelSource:
    """For ACME's accelerator."""
    body = f"  AcmeNpuAbs(device, input0, output, {spec.size}, {spec.zero_point});\n"
    return KernelSource(("int8",), (), "int8", body)


NPU = ExternalKernels(
    kernels={Abs: npu_abs},
    device=Device("acme_npu", 9),
    headers=("acme_npu.h",),
    files=tuple(Path(__file__).with_name(f"acme_npu.{suffix}") for suffix in "ch"),
    link_flags=("-lm",),
)
