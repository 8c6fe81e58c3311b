"""Finds float operators with bias and activation, and puts kernels in their place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_microtvm.compiler.quantized.groups import Grouped
from pytest_microtvm.compiler.quantized.kernels import PORTABLE
from pytest_microtvm.compiler.quantized.recognise.elementwise import (
    goes_on,
    is_elementwise,
    match_elementwise,
)
from pytest_microtvm.compiler.quantized.recognise.floats import FLOATS, layer_of
from pytest_microtvm.compiler.quantized.recognise.matches import Match
from pytest_microtvm.compiler.quantized.recognise.values import Values, operator_name
from pytest_microtvm.compiler.quantized.rewriting import Rewriter, rewrite


def group_floats(grouped: Grouped, simd: str = PORTABLE) -> Grouped:
    """Replace what float kernels can do, of what integer kernels did not take.

    Args:
        grouped: The module, with its kernels over integers.
        simd: The CPU's extension, by its name.
    """
    module = grouped.module
    rewriter = _FloatRewriter(Values(module["main"]), len(grouped.kernels))
    updated = rewrite(module, rewriter)
    return replace(grouped, module=updated, kernels=(*grouped.kernels, *rewriter.generated(simd)))


class _FloatRewriter(Rewriter):
    """Finds layers by where they end: what they begin with is removed when nothing reads it."""

    def rewritten(self, binding: Any, new_variable: Any) -> list[Any]:
        """The binding, or those in its place where it ends a layer."""
        if type(binding).__name__ != "VarBinding" or not operator_name(binding.value):
            return [binding]
        found = self._match(binding.var)
        return [binding] if found is None else self.called(binding.var, found, new_variable)

    def _match(self, variable: Any) -> Match | None:
        values = self.values
        if is_elementwise(values, variable):
            return None if goes_on(values, variable) else match_elementwise(values, variable)
        layer = layer_of(values, variable)
        if layer is None or self._goes_on(variable):
            return None
        recognize = FLOATS.get(operator_name(layer.call))
        return None if recognize is None else recognize(values, layer)

    def _goes_on(self, variable: Any) -> bool:
        """Whether the layer of a variable ends in the only one that reads it."""
        reader = self.values.reader(variable)
        if reader is None:
            return False
        own, whole = layer_of(self.values, variable), layer_of(self.values, reader)
        return own is not None and whole is not None and whole.call.same_as(own.call)
