"""Converts custom operators that are registered (see `compiler.custom`)."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_microtvm.compiler.custom import (
    CustomCall,
    CustomOperator,
    CustomTensor,
    where_it_failed,
)
from pytest_microtvm.compiler.frontends.tflite.call import Call
from pytest_microtvm.compiler.frontends.tflite.graph import Array, Tensor
from pytest_microtvm.compiler.frontends.tflite.refusal import Refusal
from pytest_microtvm.compiler.frontends.tflite.states import Handle
from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.given import Custom
from pytest_microtvm.compiler.quantized.specs import KernelSource

_UNKNOWN_USE = "use the operator in a way that its registration knows, or extend that"
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
    inputs = [operand.expression for operand in call.all_operands if operand is not None]
    return run_custom(call, operator, use, inputs)


def run_custom(
    call: Call, operator: CustomOperator, use: CustomCall, given: Sequence[Any]
) -> list[Any]:
    """The results of the kernel of a custom operator.

    Args:
        call: What is converted.
        operator: How the kernel is written.
        use: What it is used for; the outputs' element types are those of the results.
        given: What the kernel reads, in Relax.
    """
    shapes = _shapes(call, _asked(call, operator, "shapes", use))
    states = _states(call, _asked(call, operator, "states", use))
    code = _asked(call, operator, "code", use)
    if not isinstance(code, str):
        raise _wrong(call, f"its code is {code!r}, no text")
    workspace_bytes = _asked(call, operator, "workspace_bytes", use)
    if not _is_count(workspace_bytes, 0):
        raise _wrong(call, f"its workspace_bytes are {workspace_bytes!r}, no number of 0 or more")
    types = [(s, output.dtype) for s, output in zip(shapes, use.outputs, strict=True)]
    types += [(state.shape, str(state.dtype)) for state in states]
    kept = [_state(call, number, state) for number, state in enumerate(states)]
    inputs = list(given)
    inputs += [call.states.read_kept(handle, tensor, state) for handle, tensor, state in kept]
    dtypes = [tensor.dtype for tensor in use.inputs if tensor is not None]
    dtypes += [str(state.dtype) for state in states]
    source = KernelSource(
        tuple(dtypes),
        (),
        types[0][1],
        textwrap.indent(textwrap.dedent(code).strip("\n"), "  ") + "\n",
        workspace_bytes=int(workspace_bytes),
        macs=None,
        headers=tuple(str(Path(path).absolute()) for path in operator.files),
        more_outputs=tuple(dtype for _, dtype in types[1:]),
        is_verbatim=True,
    )
    spec = Custom(operator, use, source, tuple(types), tuple(states))
    results = call.kernel_of_several(operator.name, spec, inputs, types)
    for (handle, tensor, _), result in zip(kept, results[len(shapes) :], strict=True):
        call.states.assign(handle, tensor, result)
    return results[: len(shapes)]


def _asked(call: Call, operator: CustomOperator, function: str, use: CustomCall) -> Any:
    """What one of the registration's functions says."""
    try:
        return getattr(operator, function)(use)
    except ValueError as error:
        raise call.refusal(str(error), _UNKNOWN_USE) from error
    except Exception as error:  # a user's code: anything may happen
        raise _wrong(call, f"its function {function} fails: {where_it_failed(error)}") from error


def _shapes(call: Call, said: Any) -> list[tuple[int, ...]]:
    is_right = isinstance(said, list | tuple) and all(
        isinstance(shape, list | tuple) and all(_is_count(extent, 1) for extent in shape)
        for shape in said
    )
    if not is_right or len(said) != len(call.outputs):
        raise _wrong(
            call,
            f"its shapes are {said!r}, not a list with a shape for each of {len(call.outputs)} "
            "outputs",
        )
    return [tuple(map(int, shape)) for shape in said]


def _states(call: Call, said: Any) -> list[Array]:
    is_right = isinstance(said, list | tuple)
    states = [np.ascontiguousarray(state) for state in said] if is_right else []
    if not is_right or any(str(state.dtype) not in C_TYPES for state in states):
        raise _wrong(call, f"its states are {said!r}, not a list of arrays of numbers")
    return states


def _is_count(value: Any, least: int) -> bool:
    is_integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return is_integer and int(value) >= least


def _wrong(call: Call, what: str) -> Refusal:
    return call.refusal(what, "correct the operator's registration (docs/custom-operators.md)")


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
