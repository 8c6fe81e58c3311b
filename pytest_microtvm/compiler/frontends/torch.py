"""PyTorch programs that `torch.export` wrote."""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pytest_microtvm.compiler.frontends.imported import (
    ImportedModel,
    TensorName,
    import_failure,
    imported,
)
from pytest_microtvm.errors import ModelError

_INTEGERS = ("int8", "uint8", "int16", "int32")


def import_torch(
    data: bytes, input_shapes: Mapping[str, tuple[int, ...]] | None = None
) -> ImportedModel:
    """Import a program that `torch.export.save` wrote.

    Args:
        data: What the file holds.
        input_shapes: Of inputs whose shapes are open, by name.

    Raises:
        ModelError: It is damaged, or holds what cannot be compiled; or PyTorch is not installed.
    """
    torch = _torch()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(ImportError):
                # Registers the operators of programs that PT2E quantized.
                importlib.import_module("torch.ao.quantization.fx._decomposed")
            program = torch.export.load(io.BytesIO(data))
    except Exception as error:
        raise ModelError(
            "the file is not a program of torch.export, or is damaged",
            cure="write it by torch.export.save(torch.export.export(model, inputs), path), by the "
            "release of PyTorch that is installed here",
        ) from error
    return import_program(program, input_shapes)


def is_program(model: Any) -> bool:
    """Whether an object is a program of `torch.export`; does not import PyTorch."""
    kind = type(model)
    return kind.__module__.startswith("torch.export") and kind.__name__ == "ExportedProgram"


def import_program(
    program: Any, input_shapes: Mapping[str, tuple[int, ...]] | None = None
) -> ImportedModel:
    """Import a `torch.export.ExportedProgram`.

    Args:
        program: It.
        input_shapes: Of inputs whose shapes are open, by name; an open dimension is 1 else.

    Raises:
        ModelError: It holds what cannot be compiled.
    """
    _torch()
    from tvm.relax.frontend.torch import from_exported_program

    signature = program.graph_signature
    inputs = [TensorName(str(name)) for name in signature.user_inputs]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = from_exported_program(program, custom_convert_map=_converters(program))
    except Exception as error:
        raise import_failure(error) from error
    module = _with_fixed_shapes(module, inputs, input_shapes or {})
    found = replace(imported(module, inputs, None), is_even=True)
    _check_outputs(program, found)
    return found


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ModelError(
            "reading PyTorch programs needs the package 'torch'",
            cure="pip install 'pytest-microtvm[torch]'",
        ) from error
    return torch


def _converters(program: Any) -> dict[str, Any]:
    """Quantization as PT2E writes it, in the form that integer kernels are recognized in."""
    buffers = dict(program.graph_signature.inputs_to_buffers)
    tensors = {**program.constants, **program.state_dict}
    known = {name: tensors[buffer] for name, buffer in buffers.items() if buffer in tensors}
    found: dict[str, Any] = {}
    for operator in ("quantize", "dequantize"):
        for kind in ("per_tensor", "per_channel"):
            for overload in ("default", "tensor"):
                found[f"{operator}_{kind}.{overload}"] = _quantization(operator, kind, known)
    return found


def _quantization(operator: str, kind: str, known: Mapping[str, Any]) -> Any:
    """The converter of an operator; `known` are tensors by the names of nodes."""

    def convert(node: Any, importer: Any) -> Any:
        from tvm import relax

        arguments = importer.retrieve_args(node)
        source = arguments[0]
        scale, zero_point = (
            known.get(getattr(given, "name", ""), argument)
            for given, argument in zip(node.args[1:3], arguments[1:3], strict=True)
        )
        rest = list(arguments[3:])
        axis = int(rest.pop(0)) if kind == "per_channel" else 0
        low, high = int(rest[0]), int(rest[1])
        name = str(node.args[-1] if len(node.args) > 5 else "").removeprefix("torch.")
        dtype = name if name in _INTEGERS else _narrowest(low, high)
        scale = _constant(relax, scale, "float32")
        held = dtype if operator == "quantize" else str(source.ty.dtype.dtype)
        zero_point = _constant(relax, zero_point, held)
        if operator == "dequantize":
            return importer.block_builder.emit(
                relax.op.dequantize(source, scale, zero_point, axis, "float32")
            )
        values = importer.block_builder.emit(
            relax.op.quantize(source, scale, zero_point, axis, dtype)
        )
        if (low, high) == _limits(dtype):
            return values
        return importer.block_builder.emit(relax.op.clip(values, low, high))

    return convert


def _narrowest(low: int, high: int) -> str:
    """The integer type that holds all numbers from `low` to `high`."""
    return next(
        dtype for dtype in _INTEGERS if _limits(dtype)[0] <= low and high <= _limits(dtype)[1]
    )


def _limits(dtype: str) -> tuple[int, int]:
    import numpy as np

    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def _constant(relax: Any, value: Any, dtype: str) -> Any:
    """A number or a tensor that is known as a Relax constant."""
    import numpy as np

    if hasattr(value, "detach"):
        value = value.detach().numpy()
    elif hasattr(value, "value") and hasattr(value.value, "numpy"):
        value = value.value.numpy()
    elif not isinstance(value, (int, float)):
        return value
    return relax.const(np.asarray(value).astype(dtype), dtype)


def _with_fixed_shapes(
    module: Any, inputs: list[TensorName], shapes: Mapping[str, tuple[int, ...]]
) -> Any:
    """The module with every symbol of a shape bound to a number: 1 unless `shapes` says more."""
    import tvm

    function = module["main"]
    bound: dict[Any, int] = {}
    for name in shapes:
        if name not in {item.name for item in inputs}:
            raise ModelError(
                f"the model has no input {name!r} to give a shape to",
                cure=f"name one of {', '.join(item.name for item in inputs)}",
            )
    for item, parameter in zip(inputs, function.params, strict=True):
        extents = list(parameter.ty.shape)
        given = shapes.get(item.name)
        if given is not None and len(given) != len(extents):
            raise ModelError(
                f"the input {item.name!r} has {len(extents)} dimensions, not {len(given)}",
                cure="give an extent for each dimension",
            )
        for position, extent in enumerate(extents):
            wanted = None if given is None else given[position]
            if type(extent).__name__ == "IntImm":
                if wanted not in (None, int(extent.value)):
                    raise ModelError(
                        f"the input {item.name!r} has {extent.value} in dimension {position}, "
                        f"not {wanted}",
                        cure="keep the dimensions that are fixed, or export the model again",
                    )
            elif type(extent).__name__ in ("Var", "SizeVar"):
                bound[extent] = wanted if wanted is not None else bound.get(extent, 1)
    if not bound:
        return module
    updated = tvm.IRModule(dict(module.functions), attrs=module.attrs)
    updated[module.get_global_var("main")] = function.bind_symbolic_vars(bound)
    return updated


def _check_outputs(program: Any, found: ImportedModel) -> None:
    """Compare the types of the outputs with those that the program says."""
    nodes = {node.name: node for node in program.graph.nodes}
    names = list(program.graph_signature.user_outputs)
    for name, port in zip(names, found.outputs, strict=True):
        value = nodes[name].meta.get("val") if name in nodes else None
        if value is None:
            continue
        dtype = str(value.dtype).removeprefix("torch.")
        shape = tuple(value.shape)
        same = len(shape) == len(port.type.shape) and all(
            not isinstance(wanted, int) or wanted == extent
            for wanted, extent in zip(shape, port.type.shape, strict=True)
        )
        if dtype != port.type.dtype or not same:
            raise ModelError(
                f"the output {name!r} would be {port.type.dtype}{list(port.type.shape)}, where the "
                f"program has {dtype}{[str(extent) for extent in shape]}",
                cure="report the model, and replace the operators before that output",
            )
