"""Lowers the TIR functions of a module to C kernels over plain pointers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_microtvm.compiler.emit.tidy import tidy
from pytest_microtvm.compiler.emit.tir_nodes import UnsupportedKernel
from pytest_microtvm.compiler.emit.tir_printer import print_kernel
from pytest_microtvm.compiler.naming import Namespace, words
from pytest_microtvm.compiler.program import Kernel, KernelParameter, Storage, StorageKind
from pytest_microtvm.compiler.quantized.describe import describe_constants, wrapped_lines
from pytest_microtvm.compiler.quantized.rewriting import GeneratedKernel
from pytest_microtvm.errors import ModelError

# What else begins with the prefix of a module.
_OTHER_NAMES = words(
    """
    execute execute_in run reset model graph functions context inputs outputs devices memory
    workspace_pools map_inputs map_outputs internal status
    """
)

_LAYERS_SHOWN = 8


def _passes() -> list[Any]:
    """The passes from TIR blocks to the flat loops that `c_printer` prints, in order."""
    from tvm import s_tir, tirx

    return [
        s_tir.transform.CanonicalizeLoop(),
        s_tir.transform.LowerInitBlock(),
        s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
        s_tir.transform.ConvertBlocksToOpaque(),
        s_tir.transform.CompactBufferAllocation(),
        s_tir.transform.LowerMatchBuffer(),
        s_tir.transform.StmtSimplify(),
        s_tir.transform.LowerOpaqueBlock(),
        tirx.transform.FlattenBuffer(),
        tirx.transform.NarrowDataType(32),
        s_tir.transform.LoopPartition(),
        tirx.transform.VectorizeLoop(False),
        tirx.transform.StorageRewrite(),
        s_tir.transform.HoistIfThenElse(),
        tirx.transform.UnrollLoop(),
        s_tir.transform.RenormalizeSplitPattern(),
        tirx.transform.StmtSimplify(),
        tirx.transform.RemoveNoOp(),
        s_tir.transform.RewriteUnsafeSelect(),
        tirx.transform.CommonSubexprElim(),
        tirx.transform.VerifyMemory(),
        tirx.transform.LowerIntrin(),
    ]


def lower_kernels(
    module: Any,
    target: Any,
    names: Sequence[str],
    prefix: str,
    generated: Mapping[str, Sequence[GeneratedKernel]],
) -> dict[str, Kernel]:
    """Lower the functions `names` of `module`.

    Args:
        module: An IRModule whose `PrimFunc`s are in block form.
        target: The TVM target for intrinsics.
        names: Which functions, in the order in which the kernels shall come out.
        prefix: Begins every C name.
        generated: Those of `names` that are in C already, each with all its uses.

    Returns:
        Kernels by name.

    Raises:
        ModelError: A function needs what plain C kernels cannot have.
    """
    import tvm
    from tvm import tirx

    functions = {
        tvm.ir.GlobalVar(name): module[name].with_attr("global_symbol", name)
        for name in names
        if name not in generated
    }
    lowered = tvm.IRModule(functions)
    lowered = tirx.transform.BindTarget(target.with_host(target))(lowered)
    lowered = tvm.transform.Sequential(_passes())(lowered)
    by_name = {variable.name_hint: function for variable, function in lowered.functions.items()}
    c_names = Namespace(_OTHER_NAMES)
    kernels = {}
    for name in names:
        if name in generated:
            c_name = prefix + c_names.unique(name, "kernel")
            kernel, *_ = uses = generated[name]
            layers = list(dict.fromkeys(use.layer for use in uses))
            kernels[name] = generated_kernel(name, c_name, kernel, layers)
            continue
        try:
            printed = print_kernel(by_name[name])
        except UnsupportedKernel as error:
            raise ModelError(
                f"the operator(s) {name!r} cannot be compiled for a microcontroller: "
                f"it needs {error}",
                cure="replace the operator in the model by supported ones",
            ) from error
        kernels[name] = Kernel(
            name,
            prefix + c_names.unique(name, "kernel"),
            printed.parameters,
            printed.workspace_bytes,
            printed.body,
            printed.helpers,
        )
    return kernels


def generated_kernel(
    name: str, c_name: str, kernel: GeneratedKernel, layers: Sequence[str]
) -> Kernel:
    """A kernel whose C is there already."""
    source = kernel.source
    roles = [role.name for role in source.roles[: len(source.constants)]]
    roles += [f"constant{i}" for i in range(len(roles), len(source.constants))]
    inputs = [f"input{i}" for i in range(len(source.input_dtypes))]
    names = {"input0": "input"} if len(inputs) == 1 and not source.is_verbatim else {}
    names |= {f"constant{i}": role for i, role in enumerate(roles)}
    parameters = (
        *(
            KernelParameter(names.get(old, old), dtype, is_pointer=True, is_written=False)
            for old, dtype in zip(inputs, source.input_dtypes, strict=True)
        ),
        *(
            KernelParameter(role, str(array.dtype), is_pointer=True, is_written=False)
            for role, array in zip(roles, source.constants, strict=True)
        ),
        *(
            KernelParameter(f"output{i or ''}", dtype, is_pointer=True, is_written=True)
            for i, dtype in enumerate(source.output_dtypes)
        ),
    )
    taken = [*(parameter.name for parameter in parameters), "workspace", "device"]
    is_plain = not (source.is_verbatim or source.callees)
    title = kernel.name
    if is_plain:
        title += ", computed over floats" if source.is_float else ", computed over integers"
    title += f" by {source.external}" if source.external else ""
    comment = [title, *kernel.facts, *describe_constants(source)]
    return Kernel(
        name,
        c_name,
        parameters,
        source.workspace_bytes,
        source.body if source.is_verbatim else tidy(_renamed(source.body, names), taken),
        frozenset(),
        is_generated=True,
        is_float=source.is_float,
        in_place=source.in_place,
        overlaps=source.overlaps,
        headers=source.headers,
        macs=source.macs,
        callees=source.callees,
        external=source.external,
        device=source.device,
        chosen=source.chosen,
        comment=(*comment, *_layer_lines(layers)),
    )


def explained(kernel: Kernel, arguments: Sequence[Storage | str]) -> Kernel:
    """A kernel of TVM's with a comment, and with names that say what its parameters are.

    Args:
        kernel: As it was printed.
        arguments: Of a call of it.
    """
    kinds = [
        _kind(parameter, argument)
        for parameter, argument in zip(kernel.parameters, arguments, strict=True)
    ]
    names: dict[str, str] = {}
    lines = [f"{kernel.name}, as TVM writes it"]
    for position, (parameter, argument) in enumerate(
        zip(kernel.parameters, arguments, strict=True)
    ):
        kind = kinds[position]
        if not isinstance(argument, Storage):
            continue
        number = kinds[:position].count(kind)
        names[parameter.name] = kind if kinds.count(kind) == 1 else f"{kind}{number}"
        shape = " x ".join(map(str, argument.type.shape)) or "a scalar"
        lines.append(f"  {names[parameter.name]}: {argument.type.dtype} {shape}")
    parameters = (replace(p, name=names.get(p.name, p.name)) for p in kernel.parameters)
    return replace(
        kernel,
        parameters=tuple(parameters),
        body=tidy(_renamed(kernel.body, names), [*names.values(), "workspace"]),
        comment=tuple(lines),
    )


def _kind(parameter: KernelParameter, argument: Storage | str) -> str:
    if not isinstance(argument, Storage):
        return "number"
    if parameter.is_written:
        return "output"
    return "constant" if argument.kind is StorageKind.CONSTANT else "input"


def _renamed(body: str, names: Mapping[str, str]) -> str:
    """A body with other names for its parameters; a variable that has such a name gets another."""
    taken = set(names.values())

    def rename(found: re.Match[str]) -> str:
        word = found[0]
        return names.get(word) or (f"{word}_at" if word in taken else word)

    return re.sub(r"(?<![\w.])[A-Za-z_]\w*", rename, body)


def _layer_lines(layers: Sequence[str]) -> list[str]:
    """The layers that a kernel computes, a few of them by name."""
    lines = [line for layer in layers[:_LAYERS_SHOWN] for line in wrapped_lines(f"of {layer}")]
    rest = len(layers) - _LAYERS_SHOWN
    return [*lines, f"  and of {rest} more"] if rest > 0 else lines
