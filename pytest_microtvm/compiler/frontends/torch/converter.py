"""A program's nodes, one after the other, as a Relax function."""

from __future__ import annotations

import inspect
import operator as python_operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx
from tvm import relax

from pytest_microtvm.compiler.failures import summary
from pytest_microtvm.compiler.frontends.torch import operators
from pytest_microtvm.compiler.frontends.torch.call import (
    Call,
    Forms,
    Refusal,
    Type,
    array_of,
    constant,
    dtype_of,
    known,
    shape_of,
    type_of,
)
from pytest_microtvm.compiler.frontends.torch.program import Prepared
from pytest_microtvm.compiler.frontends.torch.registry import OPERATORS
from pytest_microtvm.compiler.limits import MAX_ELEMENTS, check_operators
from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.given import GivenSpec, Subgraph
from pytest_microtvm.errors import ModelError

_MAIN = "main"
_SHOWN = 8
_IGNORED = frozenset(
    {"copy", "device", "generator", "implicit", "layout", "memory_format", "non_blocking"}
    | {"pin_memory", "requires_grad"}
)
"""Arguments that change no values."""
_RENAMED = {"self": "x"}


@dataclass(frozen=True)
class Converted:
    """What became of a program.

    Args:
        module: An IRModule.
        specs: Kernels that it calls.
        initial_states: What each state begins as, by name.
    """

    module: Any
    specs: tuple[GivenSpec, ...]
    initial_states: Mapping[str, Any]


def convert(prepared: Prepared) -> Converted:
    """Convert a program.

    Raises:
        ModelError: It has operators that cannot be compiled.
    """
    assert operators
    nodes = {node.name: node for node in prepared.graph.graph.nodes}
    check_operators(len(nodes))
    refusals: list[tuple[str, str, Refusal]] = []
    walk = _Walk(prepared.graph, relax.BlockBuilder(), [], refusals)
    for name, value in prepared.known.items():
        walk.values[nodes[name]] = value
    parameters = [_parameter(nodes[name], name) for name in prepared.inputs]
    parameters += [_parameter(nodes[state.placeholder], state.name) for state in prepared.states]
    read = [*prepared.inputs, *(state.placeholder for state in prepared.states)]
    for name, parameter in zip(read, parameters, strict=True):
        walk.values[nodes[name]] = parameter
    wanted = [*prepared.outputs, *(state.result for state in prepared.states)]
    with walk.builder.function(_MAIN):
        with walk.builder.dataflow():
            walk.run()
            results = [walk.result(nodes[name]) for name in wanted]
            value = results[0] if len(results) == 1 else relax.Tuple(results)
            output = walk.builder.emit_output(value)
        walk.builder.emit_func_output(output, parameters)
    _raise(refusals)
    initial = {state.name: array_of(state.initial) for state in prepared.states}
    module = relax.transform.DeadCodeElimination([_MAIN])(walk.builder.get())
    return Converted(module, tuple(walk.specs), initial)


def _parameter(node: Any, name: str) -> Any:
    shape, dtype = type_of(node.meta["val"])
    if dtype not in C_TYPES:
        raise ModelError(
            f"the input {name!r} is of {dtype}, which C has no type for",
            cure="export the model with another type",
        )
    return relax.Var(name, relax.TensorType(list(shape), dtype))


class _Nested:
    """A part of a program that an operator runs.

    Args:
        graph: Its module.
        outer: Where the operator is.
    """

    def __init__(self, graph: Any, outer: _Walk) -> None:
        self._graph = graph
        self._outer = outer

    def results(self, inputs: Sequence[Any]) -> list[Any]:
        """Its results for inputs, in the place where the operator is."""
        outer = self._outer
        inner = _Walk(self._graph, outer.builder, outer.specs, outer.refusals)
        return inner.results(inputs)

    def subgraph(self, inputs: Sequence[Any]) -> Subgraph:
        """It as a function of its own."""
        inner = _Walk(self._graph, relax.BlockBuilder(), [], self._outer.refusals)
        parameters = [
            relax.Var(f"value_{i}", relax.TensorType(list(shape_of(each)), dtype_of(each)))
            for i, each in enumerate(inputs)
        ]
        with inner.builder.function(_MAIN):
            with inner.builder.dataflow():
                results = [inner.builder.emit(each) for each in inner.results(parameters)]
                value = results[0] if len(results) == 1 else relax.Tuple(results)
                output = inner.builder.emit_output(value)
            inner.builder.emit_func_output(output, parameters)
        return Subgraph(inner.builder.get(), tuple(inner.specs))


class _Walk:
    """The nodes of one graph.

    Args:
        graph: Its module.
        builder: Where expressions are bound.
        specs: Kernels that are called.
        refusals: What cannot be converted: the operator, its node and why.
    """

    def __init__(
        self,
        graph: Any,
        builder: Any,
        specs: list[GivenSpec],
        refusals: list[tuple[str, str, Refusal]],
    ) -> None:
        self._graph = graph
        self.builder = builder
        self.specs = specs
        self.refusals = refusals
        self.forms = Forms()
        self.values: dict[Any, Any] = {}
        """By node: a tensor or number that is known, a Relax expression, a list of these."""
        self._lost: set[Any] = set()
        """Nodes whose results are not known even by their types."""

    def run(self) -> None:
        """Convert all nodes but those whose values are given."""
        for node in self._graph.graph.nodes:
            if node.op == "output" or node in self.values:
                continue
            if node.op == "placeholder":  # of a buffer that nothing reads, or that is not kept
                continue
            if any(source in self._lost for source in node.all_input_nodes):
                self._lost.add(node)  # what it reads is refused already
                continue
            try:
                self.values[node] = self._value(node)
            except Refusal as refusal:
                self.refusals.append((_name(node), node.name, refusal))
                stand_in = _stand_in(node)
                if stand_in is None:
                    self._lost.add(node)
                else:
                    self.values[node] = stand_in

    def results(self, inputs: Sequence[Any]) -> list[Any]:
        """What the graph makes of inputs."""
        places = [node for node in self._graph.graph.nodes if node.op == "placeholder"]
        self.values.update(zip(places, inputs, strict=True))
        self.run()
        [output] = (node for node in self._graph.graph.nodes if node.op == "output")
        made = output.args[0]
        return [self.result(node) for node in (made if isinstance(made, (list, tuple)) else [made])]

    def result(self, node: Any) -> Any:
        """The value of a node as an expression."""
        if not isinstance(node, fx.Node):
            raise Refusal("one of its results is no tensor")
        value = self.values.get(node)
        if value is None and self.refusals:
            return relax.const(0)  # the function has to end; it is not used
        if value is None:
            raise ModelError(
                f"nothing computes the output {node.name!r}", cure="export the model again"
            )
        return _expression(value)

    def _value(self, node: Any) -> Any:
        if node.op == "get_attr":
            found = self._graph
            for part in node.target.split("."):
                found = getattr(found, part)
            return _Nested(found, self) if isinstance(found, fx.GraphModule) else found
        if node.target is python_operator.getitem:
            return self._item(node)
        arguments = fx.map_arg(node.args, self.values.get), fx.map_arg(node.kwargs, self.values.get)
        if _is_known(node) and self._all_known(node):
            return _evaluated(node, *arguments)
        return self._converted(node, *arguments)

    def _item(self, node: Any) -> Any:
        source, position = node.args
        values = self.values[source]
        if not isinstance(values, (list, tuple)):  # of a refused operator
            return _stand_in(node)
        found = values[position]
        if found is None:
            raise Refusal(f"its result {position} is used, which is not supported")
        return found

    def _all_known(self, node: Any) -> bool:
        return all(
            isinstance(leaf, (torch.Tensor, bool, int, float))
            for source in node.all_input_nodes
            for leaf in _leaves(self.values.get(source))
        )

    def _converted(self, node: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        name = _name(node)
        converter = OPERATORS.get(name)
        if converter is None:
            raise Refusal("it is not supported")
        outputs = _types(node)
        schema = getattr(node.target, "_schema", None)
        if schema is None:
            call = Call(name, outputs, {}, self.builder, self.specs, self.forms)
            arguments = [_expressions(value) for value in args]
            made = self._made(converter, call, arguments, {})
        else:
            names = [argument.name for argument in schema.arguments]
            meta = {
                argument: value.meta.get("val") if isinstance(value, fx.Node) else value
                for argument, value in (*zip(names, node.args, strict=False), *node.kwargs.items())
            }
            call = Call(name, outputs, meta, self.builder, self.specs, self.forms)
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            made = self._made(converter, call, (), _named(converter, schema, given))
        if made is None:
            return None
        if not isinstance(made, (list, tuple)):
            return self._checked(made, outputs[0], node.name)
        return [
            None if each is None else self._checked(each, wanted, f"{node.name}_{i}")
            for i, (each, wanted) in enumerate(zip(made, outputs, strict=False))
        ]

    def _made(
        self, converter: Any, call: Call, arguments: Sequence[Any], named: Mapping[str, Any]
    ) -> Any:
        try:
            return converter(call, *arguments, **named)
        except (Refusal, ModelError):
            raise
        except Exception as error:
            raise Refusal(
                f"TVM cannot convert it: {type(error).__name__}: {summary(error)}"
            ) from error

    def _checked(self, made: Any, wanted: Type, name: str) -> Any:
        """A result, bound to a variable, when it is what the program says."""
        try:
            value = self.builder.emit(made, f"{name}_" if name == _MAIN else name)
        except Exception as error:  # of operands that the operator does not take
            raise Refusal(
                f"TVM cannot convert it: {type(error).__name__}: {summary(error)}"
            ) from error
        found = shape_of(value), dtype_of(value)
        if found != wanted:
            raise Refusal(
                f"its result {name!r} would be {found[1]}{list(found[0])}, where the program has "
                f"{wanted[1]}{list(wanted[0])}"
            )
        self.forms.rename(made, value)
        return value if known(made) is None else made


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [leaf for each in value for leaf in _leaves(each)]
    return [value]


def _name(node: Any) -> str:
    """An operator as `OPERATORS` has it."""
    schema = getattr(node.target, "_schema", None)
    if schema is not None:
        return str(schema.name)
    name = getattr(node.target, "name", None)
    if callable(name) and type(node.target).__module__.startswith(("torch._ops", "torch._higher")):
        return f"higher_order::{name()}"
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        return f"higher_order::{node.target._name}"
    return str(getattr(node.target, "__name__", node.target))


def _is_known(node: Any) -> bool:
    """Whether an operator is computed here where all that it reads is known."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or "::dequantize" in target._schema.name:
        return False
    if torch.Tag.nondeterministic_seeded in target.tags or not target._schema.returns:
        return False
    return all(int(np.prod(shape)) <= MAX_ELEMENTS for shape, _ in _types(node))


def _evaluated(node: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    try:
        with torch.no_grad():
            found = node.target(*args, **kwargs)
    except Exception as error:
        raise Refusal(f"PyTorch cannot compute it: {summary(error)}") from error
    return list(found) if isinstance(found, tuple) else found


def _types(node: Any) -> list[Type]:
    """The shapes and dtypes of a node's results."""
    value = node.meta.get("val")
    found = []
    for each in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(each, torch.Tensor):
            if any(isinstance(extent, torch.SymInt) for extent in each.shape):
                raise Refusal("the size of its result is computed at run time")
            found.append(type_of(each))
            if found[-1][1] not in C_TYPES:
                raise Refusal(f"its result is of {found[-1][1]}, which C has no type for")
        elif isinstance(each, (torch.SymInt, torch.SymFloat, torch.SymBool)):
            raise Refusal("its result is a number that is computed at run time")
        else:
            found.append(((), "float32"))
    return found


def _stand_in(node: Any) -> Any:
    """Variables for what a refused operator would have made, so that others are checked."""
    try:
        made = [
            relax.Var(node.name, relax.TensorType(list(shape), dtype))
            for shape, dtype in _types(node)
        ]
    except Refusal:
        return None
    return made if isinstance(node.meta.get("val"), (list, tuple)) else made[0]


def _expression(value: Any) -> Any:
    return constant(array_of(value)) if isinstance(value, torch.Tensor) else value


def _expressions(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_expressions(each) for each in value]
    return _expression(value)


def _named(converter: Any, schema: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by the names of a converter; what it does not take has to be the default."""
    parameters = inspect.signature(converter).parameters
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    found = {}
    for argument in schema.arguments:
        if argument.name not in given:
            continue
        value = given[argument.name]
        name = _RENAMED.get(argument.name, argument.name)
        if name in parameters or takes_all:
            found[name] = _expressions(value)
        elif argument.name not in _IGNORED and value not in (None, argument.default_value):
            raise Refusal(f"its argument {argument.name} is {value}, which is not supported")
    return found


def _raise(refusals: Sequence[tuple[str, str, Refusal]]) -> None:
    """Tell all refusals at once, those of one kind together."""
    if not refusals:
        return
    kinds: dict[tuple[str, str], list[str]] = {}
    for name, node, refusal in refusals:
        kinds.setdefault((name.removeprefix("aten::"), refusal.why), []).append(node)
    texts = []
    for (name, why), nodes in kinds.items():
        others = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
        texts.append(f"the operator {name} (at {nodes[0]!r}{others}): {why}")
    if len(texts) > _SHOWN:
        texts = [*texts[:_SHOWN], f"and {len(texts) - _SHOWN} more"]
    cures = dict.fromkeys(refusal.cure for *_, refusal in refusals)
    raise ModelError("; ".join(texts), cure="; ".join(cures))
