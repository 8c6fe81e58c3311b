"""Puts calls of kernels in place of the operators of a Relax module, binding by binding."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_microtvm.compiler.quantized.choices import Choose, first
from pytest_microtvm.compiler.quantized.describe import describe_layer, describe_spec
from pytest_microtvm.compiler.quantized.kernels import generate
from pytest_microtvm.compiler.quantized.recognise.matches import Match, last
from pytest_microtvm.compiler.quantized.recognise.values import Values, dtype_of, shape_of
from pytest_microtvm.compiler.quantized.specs import KernelSource, Spec

PREFIX = "microtvm.kernel."
"""Begins the names of the functions that `main` calls in place of operators; a number follows."""

_NAMED_BY_TVM = re.compile(r"(?:lv|gv)\d*(?:_\d+)?")


@dataclass(frozen=True)
class GeneratedKernel:
    """A kernel that the module calls by the name `PREFIX` and its position.

    Args:
        name: What it does, for its C name.
        source: Its C.
        facts: Lines that say what it computes.
        layer: A line about this use of it: the layer of the model, and the scales.
    """

    name: str
    source: KernelSource
    facts: tuple[str, ...]
    layer: str


@dataclass(frozen=True)
class Wanted:
    """A kernel that is not written yet; the arguments are those of `GeneratedKernel`."""

    name: str
    spec: Spec
    layer: str


class Rewriter(ABC):
    """Rewrites bindings one by one.

    Kernels have the channels of images last. Where a model has them first, an image is there twice,
    and what nothing reads is removed in the end.

    Args:
        values: The bindings of the function.
        first: The number of the first kernel.
    """

    def __init__(self, values: Values, first: int = 0) -> None:
        self.values = values
        self._first = first
        self.twins: dict[Any, Any] = {}
        """By the variable of an image, the one that has its channels last."""
        self.wanted: list[Wanted] = []

    @abstractmethod
    def rewritten(self, binding: Any, new_variable: Any) -> list[Any]:
        """The binding, or those in its place.

        Args:
            binding: Of the function.
            new_variable: The class of variables that are added.
        """

    def called(self, variable: Any, match: Match, new_variable: Any) -> list[Any]:
        """The bindings that let a kernel make what `variable` stands for."""
        from tvm import relax

        spec, is_last = match.spec, match.is_channels_last
        if match.channels_last is not None and all(i in self.twins for i in match.inputs):
            spec, is_last = match.channels_last, True
        bindings: list[Any] = []
        inputs = list(match.inputs)
        result, ty = variable, variable.ty
        if is_last:
            inputs = [self._channels_last(image, bindings, new_variable) for image in inputs]
            ty = relax.TensorType(last(shape_of(variable)), dtype_of(variable))
            result = self.twins[variable] = new_variable(f"{variable.name}_last", ty)
        name = self.add_kernel(match.name, spec, match.inputs, variable)
        bindings.append(relax.VarBinding(result, relax.call_dps_packed(name, inputs, ty)))
        if is_last:
            bindings.append(relax.VarBinding(variable, permuted(result, (0, 3, 1, 2))))
        return bindings

    def add_kernel(self, name: str, spec: Spec, inputs: Sequence[Any], result: Any) -> str:
        """The name by which a new kernel is called."""
        values = self.values
        scales = [values.quantization_of(given) for given in inputs]
        layer = describe_layer(layer_name(result), scales, values.quantization_of(result))
        self.wanted.append(Wanted(name, spec, layer))
        return f"{PREFIX}{self._first + len(self.wanted) - 1}"

    def generated(
        self, simd: str, specs: Sequence[Spec] = (), choose: Choose = first
    ) -> tuple[GeneratedKernel, ...]:
        """The kernels that are called, by number.

        Args:
            simd: The CPU's extension, by its name.
            specs: What the kernels do after all; what was wanted if not given.
            choose: As `generate` takes it.
        """
        specs = specs or [wanted.spec for wanted in self.wanted]
        return tuple(
            GeneratedKernel(
                wanted.name, generate(spec, simd, choose), tuple(describe_spec(spec)), wanted.layer
            )
            for wanted, spec in zip(self.wanted, specs, strict=True)
        )

    def _channels_last(self, image: Any, bindings: list[Any], new_variable: Any) -> Any:
        """The variable of an image with its channels last."""
        from tvm import relax

        if image not in self.twins:
            value = permuted(image, (0, 2, 3, 1))
            self.twins[image] = new_variable(f"{image.name}_last", value.ty)
            bindings.append(relax.VarBinding(self.twins[image], value))
        return self.twins[image]


def rewrite(module: Any, rewriter: Rewriter) -> Any:
    """The module with all bindings of `main` rewritten, without what nothing reads any more."""
    import tvm
    from tvm import relax

    variable = module.get_global_var("main")
    function = module[variable]
    blocks = []
    is_changed = False
    for block in function.body.blocks:
        is_dataflow = type(block).__name__ == "DataflowBlock"
        new_variable = relax.DataflowVar if is_dataflow else relax.Var
        bindings = []
        for binding in block.bindings:
            rewritten = rewriter.rewritten(binding, new_variable)
            is_changed |= rewritten[0] is not binding
            bindings += rewritten
        blocks.append((relax.DataflowBlock if is_dataflow else relax.BindingBlock)(bindings))
    if not is_changed:
        return module
    body = relax.SeqExpr(blocks, function.body.body)
    updated = tvm.IRModule(dict(module.functions), attrs=module.attrs)
    updated[variable] = relax.Function(
        function.params, body, function.ret_ty, function.is_pure, function.attrs
    )
    return relax.transform.DeadCodeElimination()(updated)


def layer_name(variable: Any) -> str:
    """The model's own name of what a variable holds; empty where the front end gave none."""
    name = str(variable.name)
    return "" if _NAMED_BY_TVM.fullmatch(name) else name


def permuted(image: Any, order: tuple[int, ...]) -> Any:
    """An image with its axes in another order; a view when nothing moves in memory."""
    from tvm import relax

    shape = shape_of(image)
    if is_view(shape, order):
        value = relax.op.reshape(image, [shape[axis] for axis in order])
    else:
        value = relax.op.permute_dims(image, list(order))
    return relax.BlockBuilder().normalize(value)


def is_view(shape: tuple[int, ...], order: tuple[int, ...]) -> bool:
    """Whether a permutation of axes leaves all elements where they are."""
    moved = [axis for axis in order if shape[axis] > 1]
    return moved == sorted(moved)
