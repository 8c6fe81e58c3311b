"""Converts custom operators that are registered (see `compiler.custom`)."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from pytest_microtvm.compiler.custom import CustomCall, CustomOperator, CustomTensor
from pytest_microtvm.compiler.frontends.tflite.call import Call
from pytest_microtvm.compiler.frontends.tflite.graph import Array, Tensor
from pytest_microtvm.compiler.frontends.tflite.states import Handle
from pytest_microtvm.compiler.quantized.given import Custom
from pytest_microtvm.compiler.quantized.specs import KernelSource

PREFIX = "CUSTOM "
"""Begins the names of custom operators in graphs."""

_OF_COMPILERS = {
    "ethos-u": ("it is the code of an Ethos-U, made by Vela", "Vela"),
    "edgetpu-custom-op": ("it is the code of an Edge TPU", "edgetpu_compiler"),
}
"""Operators that a compiler put in place of others, each with its name."""


def unregistered(name: str) -> tuple[str, str]:
    """Why a custom operator of that name is refused that nobody registered, and the cure."""
    if name in _OF_COMPILERS:
        why, compiler = _OF_COMPILERS[name]
        return why, f"give the model as it was before {compiler}"
    cure = f"register the operator {name} (docs/custom-operators.md)"
    if name.startswith("Flex"):
        cure = f"convert the model with TFLITE_BUILTINS only, or {cure}"
        return "it is TensorFlow's own, and nobody registered it", cure
    return "nobody registered it", cure


def convert_custom(call: Call, operator: CustomOperator) -> Any:
    """The results of a custom operator; what it keeps is left to the next run."""
    use = CustomCall(
        tuple(
            None if operand is None else _tensor(operand.tensor, operand.shape, operand.value)
            for operand in call.all_operands
        ),
        tuple(_tensor(output, output.signature, None) for output in call.outputs),
        call.operator.custom_options,
    )
    try:
        shapes = [tuple(map(int, shape)) for shape in operator.shapes(use)]
        states = [np.ascontiguousarray(state) for state in operator.states(use)]
        code, workspace_bytes = operator.code(use), operator.workspace_bytes(use)
    except ValueError as error:
        raise call.refusal(str(error)) from error
    if len(shapes) != len(call.outputs):
        raise call.refusal(f"its registration says it has {len(shapes)} outputs")
    types = [(s, output.dtype) for s, output in zip(shapes, call.outputs, strict=True)]
    types += [(state.shape, str(state.dtype)) for state in states]
    kept = [_state(call, number, state) for number, state in enumerate(states)]
    operands = [operand for operand in call.all_operands if operand is not None]
    inputs = [operand.expression for operand in operands]
    inputs += [call.states.read_kept(handle, tensor, state) for handle, tensor, state in kept]
    dtypes = [operand.dtype for operand in operands] + [str(state.dtype) for state in states]
    source = KernelSource(
        tuple(dtypes),
        (),
        types[0][1],
        textwrap.indent(textwrap.dedent(code).strip("\n"), "  ") + "\n",
        workspace_bytes=workspace_bytes,
        macs=None,
        headers=tuple(str(path.absolute()) for path in operator.files),
        more_outputs=tuple(dtype for _, dtype in types[1:]),
        is_verbatim=True,
    )
    spec = Custom(operator, use, source, tuple(types), tuple(states))
    results = call.kernel_of_several(operator.name, spec, inputs, types)
    for (handle, tensor, _), result in zip(kept, results[len(shapes) :], strict=True):
        call.states.assign(handle, tensor, result)
    return results[: len(shapes)]


def _tensor(tensor: Tensor, shape: tuple[int, ...], value: Array | None) -> CustomTensor:
    known = tensor.quantization
    scale, zero_point = None, 0
    if known is not None and known.scales.size == 1 and tensor.dtype != "float32":
        scale, zero_point = float(known.scale), known.zero_point
    return CustomTensor(tensor.name, shape, tensor.dtype, scale, zero_point, value)


def _state(call: Call, number: int, state: Array) -> tuple[Handle, Tensor, Array]:
    """A variable of the operator's own."""
    name = f"{call.outputs[0].name or call.operator.name}_state{number}"
    shape = tuple(int(extent) for extent in state.shape)
    tensor = Tensor(-1, name, str(state.dtype), shape, shape, True, None, None, True)
    handle = Handle(f"operator {call.operator.position}".encode(), name.encode())
    return handle, tensor, state
