"""Lowers the TIR functions of a module to C kernels over plain pointers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_microtvm.compiler.emit.tir_printer import UnsupportedKernel, print_kernel
from pytest_microtvm.compiler.naming import Namespace, words
from pytest_microtvm.compiler.program import Kernel, KernelParameter
from pytest_microtvm.compiler.quantized.groups import IntegerKernel
from pytest_microtvm.compiler.quantized.specs import KernelSource
from pytest_microtvm.errors import ModelError

# What else begins with the prefix of a module.
_OTHER_NAMES = words(
    "execute run model graph inputs outputs devices workspace_pools map_inputs map_outputs internal"
)


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
    integer_kernels: Mapping[str, IntegerKernel],
) -> dict[str, Kernel]:
    """Lower the functions `names` of `module`.

    Args:
        module: An IRModule whose `PrimFunc`s are in block form.
        target: The TVM target for intrinsics.
        names: Which functions, in the order in which the kernels shall come out.
        prefix: Begins every C name.
        integer_kernels: Those of `names` that are in C already.

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
        if name not in integer_kernels
    }
    lowered = tvm.IRModule(functions)
    lowered = tirx.transform.BindTarget(target.with_host(target))(lowered)
    lowered = tvm.transform.Sequential(_passes())(lowered)
    by_name = {variable.name_hint: function for variable, function in lowered.functions.items()}
    c_names = Namespace(_OTHER_NAMES)
    kernels = {}
    for name in names:
        if name in integer_kernels:
            c_name = prefix + c_names.unique(name, "kernel")
            kernels[name] = _integer_kernel(name, c_name, integer_kernels[name].source)
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


def _integer_kernel(name: str, c_name: str, source: KernelSource) -> Kernel:
    """A kernel whose C is there already."""
    parameters = (
        *(
            KernelParameter(f"input{i}", dtype, is_pointer=True, is_written=False)
            for i, dtype in enumerate(source.input_dtypes)
        ),
        *(
            KernelParameter(f"constant{i}", str(array.dtype), is_pointer=True, is_written=False)
            for i, array in enumerate(source.constants)
        ),
        KernelParameter("output", source.output_dtype, is_pointer=True, is_written=True),
    )
    return Kernel(
        name,
        c_name,
        parameters,
        source.workspace_bytes,
        source.body,
        frozenset(),
        is_integer=True,
        in_place=source.in_place,
        headers=source.headers,
        macs=source.macs,
    )
