"""Finds dequantize -> operator -> quantize in a Relax module, and puts kernels in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_microtvm.compiler.integer.arithmetic import LIMITS
from pytest_microtvm.compiler.integer.features import Simd
from pytest_microtvm.compiler.integer.kernels import generate
from pytest_microtvm.compiler.integer.matches import Match, Output, without_activation
from pytest_microtvm.compiler.integer.simple import match_integers, match_simple
from pytest_microtvm.compiler.integer.specs import KernelSource
from pytest_microtvm.compiler.integer.values import (
    Values,
    dtype_of,
    is_static_tensor,
    operator_name,
    variables_of,
)
from pytest_microtvm.compiler.integer.weighted import match_weighted

PREFIX = "microtvm.integer."
"""Begins the names of the functions that `main` calls in place of groups; a number follows."""


@dataclass(frozen=True)
class IntegerKernel:
    """A kernel that the module calls by the name `PREFIX` and its position.

    Args:
        name: What it does, for its C name.
        source: Its C.
    """

    name: str
    source: KernelSource


@dataclass(frozen=True)
class Grouped:
    """A module in which kernels took the place of groups of operators.

    Args:
        module: The Relax module.
        kernels: What it calls, by number.
        float_operators: What is between dequantization and quantization all the same, because no
            integer kernel does it: for each group its operators in order.
    """

    module: Any
    kernels: tuple[IntegerKernel, ...]
    float_operators: tuple[str, ...]


def group_integers(module: Any, simd: Simd = Simd.NONE) -> Grouped:
    """Replace what integer kernels can do.

    Args:
        module: An imported module with a function `main` in A-normal form, constants not folded.
        simd: What the CPU can do.
    """
    import tvm
    from tvm import relax

    variable = module.get_global_var("main")
    function = module[variable]
    rewriter = _Rewriter(function, simd)
    blocks = []
    for block in function.body.blocks:
        bindings = [rewriter.rewritten(binding) for binding in block.bindings]
        is_dataflow = type(block).__name__ == "DataflowBlock"
        blocks.append((relax.DataflowBlock if is_dataflow else relax.BindingBlock)(bindings))
    if not rewriter.kernels:
        return Grouped(module, (), float_groups(Values(function)))
    body = relax.SeqExpr(blocks, function.body.body)
    updated = tvm.IRModule(dict(module.functions), attrs=module.attrs)
    updated[variable] = relax.Function(
        function.params, body, function.ret_ty, function.is_pure, function.attrs
    )
    updated = relax.transform.DeadCodeElimination()(updated)
    return Grouped(updated, tuple(rewriter.kernels), float_groups(Values(updated["main"])))


def float_groups(values: Values) -> tuple[str, ...]:
    """The float operators that end in a quantization, each group as "first, second, ..."."""
    groups = []
    for quantize in values.calls("quantize"):
        names: list[str] = []
        seen: set[Any] = set()
        pending = [quantize.args[0]]
        while pending:
            variable = pending.pop()
            call = values.definition(variable)
            name = operator_name(call)
            if variable in seen or not name or name in ("dequantize", "quantize"):
                continue
            if values.constant(variable) is not None:
                continue
            seen.add(variable)
            names.append(name.removeprefix("nn."))
            pending += [field for argument in call.args for field in variables_of(argument)]
        if names:
            groups.append(", ".join(reversed(names)))
    return tuple(groups)


class _Rewriter:
    def __init__(self, function: Any, simd: Simd) -> None:
        self._values = Values(function)
        self._simd = simd
        self.kernels: list[IntegerKernel] = []

    def rewritten(self, binding: Any) -> Any:
        """The binding with a call of a kernel where it ends a group."""
        from tvm import relax

        if type(binding).__name__ != "VarBinding" or not operator_name(binding.value):
            return binding
        if not is_static_tensor(binding.value) or self._values.is_only_clipped(binding.var):
            return binding
        match = self._match(binding.value)
        if match is None:
            return binding
        name = f"{PREFIX}{len(self.kernels)}"
        self.kernels.append(IntegerKernel(match.name, generate(match.spec, self._simd)))
        call = relax.call_dps_packed(name, list(match.inputs), binding.value.ty)
        return relax.VarBinding(binding.var, call)

    def _match(self, call: Any) -> Match | None:
        values = self._values
        bounds = None
        quantize = call
        if operator_name(call) == "clip" and dtype_of(call) in LIMITS:
            bounds = (values.number(call.args[1]), values.number(call.args[2]))
            quantize = values.definition(call.args[0])
        dtype = dtype_of(call)
        if dtype not in LIMITS:
            return None
        low, high = LIMITS[dtype]
        if bounds is not None:
            low, high = max(low, int(bounds[0])), min(high, int(bounds[1]))
        if operator_name(quantize) == "quantize":
            quantization = values.quantization(quantize)
            if quantization is None:
                return None
            output = Output(quantization, dtype, low, high)
            result, output = without_activation(values, quantize.args[0], output)
            is_activation = result is not quantize.args[0]
            return match_weighted(values, result, output) or match_simple(
                values, result, output, is_activation
            )
        return match_integers(values, quantize, low, high)
