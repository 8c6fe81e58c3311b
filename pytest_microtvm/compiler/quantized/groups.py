"""Finds dequantize -> operator -> quantize in a Relax module, and puts kernels in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pytest_microtvm.compiler.quantized.arithmetic import LIMITS
from pytest_microtvm.compiler.quantized.choices import Choose, first
from pytest_microtvm.compiler.quantized.dead.module import living
from pytest_microtvm.compiler.quantized.given import PREFIX as GIVEN_PREFIX
from pytest_microtvm.compiler.quantized.given import GivenSpec
from pytest_microtvm.compiler.quantized.kernels import PORTABLE, is_external
from pytest_microtvm.compiler.quantized.operator import installed_operators
from pytest_microtvm.compiler.quantized.recognise.chains import match_chain
from pytest_microtvm.compiler.quantized.recognise.choices import Choice, match_choice
from pytest_microtvm.compiler.quantized.recognise.matches import (
    Match,
    Movement,
    Output,
    Recognizer,
    without_activation,
)
from pytest_microtvm.compiler.quantized.recognise.simple import match_quantize
from pytest_microtvm.compiler.quantized.recognise.table import INTEGER, QUANTIZED
from pytest_microtvm.compiler.quantized.recognise.values import (
    Values,
    dtype_of,
    is_static_tensor,
    operator_name,
    shape_of,
    variables_of,
)
from pytest_microtvm.compiler.quantized.rewriting import (
    PREFIX,
    GeneratedKernel,
    Rewriter,
    is_view,
    rewrite,
)
from pytest_microtvm.compiler.quantized.specs import Lookup
from pytest_microtvm.mlf.specs import DeadWeights


@dataclass(frozen=True)
class Grouped:
    """A module in which kernels took the place of groups of operators.

    Args:
        module: The Relax module.
        kernels: What it calls, by number.
        float_operators: What is between dequantization and quantization all the same, because no
            integer kernel does it: for each group its operators in order.
        dead_weights: What the kernels leave out; None where that is nothing.
    """

    module: Any
    kernels: tuple[GeneratedKernel, ...]
    float_operators: tuple[str, ...]
    dead_weights: DeadWeights | None = None


def group_integers(
    module: Any,
    simd: str = PORTABLE,
    given: Sequence[GivenSpec] = (),
    *,
    is_even: bool = False,
    choose: Choose = first,
) -> Grouped:
    """Replace what integer kernels can do.

    Args:
        module: An imported module with a function `main` in A-normal form, constants not folded.
        simd: The CPU's extension, by its name.
        given: The kernels that `main` calls by `given.PREFIX` and their positions.
        is_even: Whether results are rounded to the nearest values, ties to even; else as TFLite's
            kernels round.
        choose: Takes one of several ways to write a kernel.
    """
    rewriter = _IntegerRewriter(module["main"], given, is_even)
    updated = rewrite(module, rewriter)
    if not rewriter.wanted:
        return Grouped(updated, (), float_groups(Values(updated["main"]), ()))
    specs = [wanted.spec for wanted in rewriter.wanted]
    found = living(updated["main"], PREFIX, specs, partial(is_external, simd=simd))
    updated[updated.get_global_var("main")] = found.function
    kernels = rewriter.generated(simd, found.specs, choose)
    floats = float_groups(Values(updated["main"]), kernels)
    return Grouped(updated, kernels, floats, found.dead_weights)


def float_groups(values: Values, kernels: Sequence[GeneratedKernel]) -> tuple[str, ...]:
    """The float operators that end in a quantization, each group as "first, second, ...".

    What ends in two quantizations belongs to the first of them, and steps that are alike are told
    once: recurrent layers have many. What gives integers is no part of a group.

    Args:
        values: The bindings of a function.
        kernels: Those that it calls, by number.
    """
    groups = []
    called = {f"{PREFIX}{number}": kernel.name for number, kernel in enumerate(kernels)}
    seen: set[Any] = set()
    for quantize in values.calls("quantize"):
        names: list[str] = []
        pending = [quantize.args[0]]
        while pending:
            variable = pending.pop()
            call = values.definition(variable)
            name = operator_name(call)
            if variable in seen or not name or name in ("dequantize", "quantize"):
                continue
            if values.constant(variable) is not None or not _is_float(variable):
                continue
            seen.add(variable)
            if name == "call_dps_packed":
                name = called.get(str(call.args[0].global_symbol), "a kernel")
            names.append(name.removeprefix("nn."))
            pending += [field for argument in call.args for field in variables_of(argument)]
        if names:
            groups.append(", ".join(reversed(names)))
    return tuple(dict.fromkeys(groups))


def _is_float(variable: Any) -> bool:
    """Whether a variable holds floats, alone or among others."""
    types = variable.ty.fields if type(variable.ty).__name__ == "TupleType" else [variable.ty]
    return any("float" in str(ty.dtype) for ty in types)


class _IntegerRewriter(Rewriter):
    """Finds what ends in a quantization."""

    def __init__(self, function: Any, given: Sequence[GivenSpec], is_even: bool) -> None:
        super().__init__(Values(function))
        self._given = given
        self._is_even = is_even
        self._recognizers = _recognizers()

    def rewritten(self, binding: Any, new_variable: Any) -> list[Any]:
        """The binding, or those in its place where it ends a group.

        Args:
            binding: Of the function.
            new_variable: The class of variables that are added.
        """
        if type(binding).__name__ != "VarBinding" or not operator_name(binding.value):
            return [binding]
        if operator_name(binding.value) == "call_dps_packed":
            return self._given_kernel(binding, new_variable)
        if not is_static_tensor(binding.value) or self.values.is_only_clipped(binding.var):
            return [binding]
        found = self._match(binding.value)
        if found is None:
            return [binding]
        if isinstance(found, Movement):
            return [self._moved(binding.var, found)]
        if isinstance(found, Choice):
            return self._chosen(binding.var, found, new_variable)
        return self.called(binding.var, found, new_variable)

    def _given_kernel(self, binding: Any, new_variable: Any) -> list[Any]:
        """The call of a kernel that the front end asked for."""
        from tvm import relax

        function, arguments = binding.value.args
        name = str(function.global_symbol)
        if not name.startswith(GIVEN_PREFIX):
            return [binding]
        wanted = self._given[int(name.removeprefix(GIVEN_PREFIX))]
        if isinstance(wanted.spec, Lookup):
            inputs = tuple(arguments.fields)
            match = Match(wanted.name, wanted.spec, inputs, channels_last=wanted.spec)
            if shape_of(inputs[0]) == shape_of(binding.var) and len(shape_of(binding.var)) == 4:
                return self.called(binding.var, match, new_variable)
        kernel = self.add_kernel(wanted.name, wanted.spec, arguments.fields, binding.var)
        ty = binding.var.ty
        types = list(ty.fields) if type(ty).__name__ == "TupleType" else ty
        call = relax.call_dps_packed(kernel, arguments, types)
        return [relax.VarBinding(binding.var, call)]

    def _moved(self, variable: Any, movement: Movement) -> Any:
        """The binding of what an operator moves, without leaving the integers."""
        from tvm import relax

        call, source = movement.call, movement.source
        if operator_name(call) in ("permute_dims", "strided_slice"):
            value = relax.Call(call.op, [source, *call.args[1:]], call.attrs)
        else:
            twin = self.twins.get(source)
            if twin is not None and is_view(shape_of(source), (0, 2, 3, 1)):
                source = twin
            value = relax.op.reshape(source, list(shape_of(variable)))
        return relax.VarBinding(variable, relax.BlockBuilder().normalize(value))

    def _chosen(self, variable: Any, choice: Choice, new_variable: Any) -> list[Any]:
        """The bindings of an operator whose operands are quantized in place of its result."""
        from tvm import relax

        bindings, operands = [], []
        for operand, part in zip(choice.operands, choice.parts, strict=True):
            if isinstance(part, Match):
                ty = relax.TensorType(list(shape_of(operand)), dtype_of(variable))
                operands.append(new_variable(f"{variable.name}_part", ty))
                bindings += self.called(operands[-1], part, new_variable)
            elif isinstance(part, np.ndarray):
                operands.append(relax.const(part, str(part.dtype)))
            else:
                operands.append(part)
        value = relax.BlockBuilder().normalize(choice.of(operands))
        return [*bindings, relax.VarBinding(variable, value)]

    def _match(self, call: Any) -> Match | Movement | Choice | None:
        values = self.values
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
            output = Output(quantization, dtype, low, high, is_even=self._is_even)
            result, output = without_activation(values, quantize.args[0], output)
            return self._quantized(values.definition(result), output)
        match = INTEGER.get(operator_name(quantize))
        return None if match is None else match(values, quantize, low, high)

    def _quantized(self, value: Any, output: Output) -> Match | Movement | Choice | None:
        """What gives a float `value` that is quantized to `output`."""
        if type(value).__name__ == "Var" and dtype_of(value) == "float32":
            return match_quantize(value, output)
        recognizers = self._recognizers.get(operator_name(value), ())
        found = (recognize(self.values, value, output) for recognize in recognizers)
        match = next((match for match in found if match is not None), None)
        match = match or match_chain(self.values, value, output)
        return match or match_choice(self.values, value, output)


def _recognizers() -> dict[str, list[Recognizer]]:
    """Ours by the Relax operator, then those of installed operators."""
    found = {name: list(recognizers) for name, recognizers in QUANTIZED.items()}
    for operator in installed_operators():
        found.setdefault(operator.relax_name, []).append(operator.recognize)
    return found
