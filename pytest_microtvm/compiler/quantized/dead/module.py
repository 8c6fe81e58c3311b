"""A Relax module whose integer kernels are a network, and the same with fewer channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_microtvm.compiler.quantized.dead.count import counted
from pytest_microtvm.compiler.quantized.dead.network import Layer, Network, Shape, View
from pytest_microtvm.compiler.quantized.dead.removal import without_dead
from pytest_microtvm.compiler.quantized.recognise.values import (
    dtype_of,
    is_static_tensor,
    operator_name,
    shape_of,
    variables_of,
)
from pytest_microtvm.compiler.quantized.specs import Spec
from pytest_microtvm.mlf.specs import DeadWeights


@dataclass(frozen=True)
class Living:
    """A function without dead channels.

    Args:
        function: The Relax function.
        specs: What each of the kernels does that it calls, by number.
        dead_weights: What is left out; None where nothing is.
    """

    function: Any
    specs: tuple[Spec, ...]
    dead_weights: DeadWeights | None


def living(
    function: Any, prefix: str, specs: Sequence[Spec], needs_all: Callable[[Spec], bool]
) -> Living:
    """A function of kernels without the channels that nothing needs.

    Args:
        function: A Relax function in A-normal form.
        prefix: Begins the names of the kernels that it calls; their number follows.
        specs: What they do.
        needs_all: Whether a kernel is to see its tensors as they are.
    """
    reader = _Reader(function, prefix, specs)
    smaller = without_dead(reader.network, needs_all)
    if smaller is reader.network:
        return Living(function, tuple(specs), None)
    found = list(specs)
    for layer, number in zip(smaller.layers, reader.numbers, strict=True):
        if number is not None:
            found[number] = layer.spec
    dead_weights = counted(reader.network, smaller)
    return Living(reader.rebuilt(smaller), tuple(found), dead_weights)


class _Reader:
    """Reads a function as a network.

    Args:
        function: The function.
        prefix: Begins the names of the kernels that it calls.
        specs: What they do.
    """

    def __init__(self, function: Any, prefix: str, specs: Sequence[Spec]) -> None:
        self._function = function
        self._prefix = prefix
        self._specs = specs
        self._tensors: dict[Any, int] = {}
        self._shapes: list[Shape] = []
        self._fixed: set[int] = set()
        self._layers: list[Layer] = []
        self.numbers: list[int | None] = []
        """By layer, the number of its kernel; None for a view."""
        self._made_by: dict[Any, int] = {}
        for parameter in function.params:
            self._fix([parameter])
        for block in function.body.blocks:
            for binding in block.bindings:
                self._read(binding)
        self._fix(variables_of(function.body.body))
        self.network = Network(tuple(self._shapes), tuple(self._layers), frozenset(self._fixed))

    def rebuilt(self, network: Network) -> Any:
        """The function with the shapes of a network that was made of its own."""
        from tvm import relax

        variables: dict[Any, Any] = {}
        blocks = []
        for block in self._function.body.blocks:
            bindings = []
            for binding in block.bindings:
                made_by = self._made_by.get(binding.var)
                if made_by is not None:
                    binding = self._bound(binding, network, made_by, variables)
                bindings.append(binding)
            blocks.append(type(block)(bindings))
        old = self._function
        body = relax.SeqExpr(blocks, old.body.body)
        return relax.Function(old.params, body, old.ret_ty, old.is_pure, old.attrs)

    def _bound(
        self, binding: Any, network: Network, made_by: int, variables: dict[Any, Any]
    ) -> Any:
        """The binding of a tensor that perhaps has another shape by now, or is made of such."""
        from tvm import relax

        layer, variable, call = network.layers[made_by], binding.var, binding.value
        shape = network.shapes[layer.output]
        ty = relax.TensorType(shape, dtype_of(variable))
        if shape != shape_of(variable):
            variables[variable] = type(variable)(variable.name, ty)
        result = variables.get(variable, variable)
        number = self.numbers[made_by]
        if number is None:
            source = variables.get(call.args[0], call.args[0])
            value = relax.BlockBuilder().normalize(relax.op.reshape(source, list(shape)))
        else:
            inputs = [variables.get(given, given) for given in call.args[1].fields]
            value = relax.call_dps_packed(f"{self._prefix}{number}", inputs, ty)
        return relax.VarBinding(result, value)

    def _read(self, binding: Any) -> None:
        value = binding.value
        layer = self._layer(binding.var, value)
        if layer is None:
            self._fix([binding.var, *variables_of(value)])
            return
        number, inputs = layer
        spec = View() if number is None else self._specs[number]
        self._made_by[binding.var] = len(self._layers)
        self._layers.append(
            Layer(spec, tuple(map(self._tensor, inputs)), self._tensor(binding.var))
        )
        self.numbers.append(number)

    def _layer(self, variable: Any, value: Any) -> tuple[int | None, list[Any]] | None:
        """The number of the kernel, None for a view, and what it reads; None for what is none."""
        name = operator_name(value)
        if type(value).__name__ != "Call" or not is_static_tensor(value):
            return None
        if name == "reshape" and _is_variable(value.args[0]):
            return None, [value.args[0]]
        if name != "call_dps_packed":
            return None
        kernel = str(value.args[0].global_symbol)
        inputs = list(value.args[1].fields)
        if not kernel.startswith(self._prefix) or not all(map(_is_variable, inputs)):
            return None
        return int(kernel.removeprefix(self._prefix)), inputs

    def _tensor(self, variable: Any) -> int:
        """The number of a variable's tensor."""
        if variable not in self._tensors:
            self._tensors[variable] = len(self._shapes)
            self._shapes.append(shape_of(variable) if is_static_tensor(variable) else ())
        return self._tensors[variable]

    def _fix(self, variables: Sequence[Any]) -> None:
        self._fixed |= {self._tensor(variable) for variable in variables}


def _is_variable(expression: Any) -> bool:
    return type(expression).__name__ in ("Var", "DataflowVar")
