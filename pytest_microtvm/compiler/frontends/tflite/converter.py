"""Converts a graph of TFLite operators to a Relax module, one operator after the other.

What an operator makes has the element type and the shape that the file says, or the operator is
refused. All operators that are refused are told at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.custom import CustomOperator
from pytest_microtvm.compiler.failures import summary
from pytest_microtvm.compiler.frontends.tflite import operators
from pytest_microtvm.compiler.frontends.tflite.call import Call, Operand, constant
from pytest_microtvm.compiler.frontends.tflite.custom import (
    PREFIX,
    convert_custom,
    unregistered,
)
from pytest_microtvm.compiler.frontends.tflite.graph import Array, Graph, Operator, Tensor
from pytest_microtvm.compiler.frontends.tflite.lists import with_replaced_items
from pytest_microtvm.compiler.frontends.tflite.open_lists import LIST, OpenList
from pytest_microtvm.compiler.frontends.tflite.options import Options
from pytest_microtvm.compiler.frontends.tflite.refusal import Refusal
from pytest_microtvm.compiler.frontends.tflite.registry import Registration
from pytest_microtvm.compiler.frontends.tflite.spectra import Complex
from pytest_microtvm.compiler.frontends.tflite.states import Handle, States
from pytest_microtvm.compiler.naming import unique_names
from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.given import GivenSpec, Subgraph
from pytest_microtvm.errors import ModelError

_EXPORT = "export the model again"
_SHOWN = 12
"""Refused operators that are told in full."""


@dataclass(frozen=True)
class Converted:
    """What became of a graph.

    Args:
        module: An IRModule with the function `main`.
        specs: Kernels that it calls in place of operators (see `given.GivenSpec`).
        initial_states: What it keeps from run to run begins as, by name: further parameters of
            `main`, and further results.
    """

    module: Any
    specs: tuple[GivenSpec, ...]
    initial_states: dict[str, Array]


def convert(
    graphs: Sequence[Graph],
    input_shapes: Sequence[Sequence[int]],
    subgraph: int = 0,
    custom: Mapping[str, CustomOperator] | None = None,
) -> Converted:
    """Convert a model.

    Args:
        graphs: Its subgraphs.
        input_shapes: Of each input of the one that is run.
        subgraph: The number of that one.
        custom: Custom operators that are known, by name.

    Raises:
        ModelError: Some of its operators cannot be converted.
    """
    return _Converter(graphs, subgraph, custom or {}).run(input_shapes)


_MAX_RUNS = 256
"""Most subgraphs that are converted, each as often as it is run."""
_MAIN = "main"
"""The function of a module that is the model."""


class _TooManyRunsError(ModelError):
    """Of the whole model: no operator is to blame."""


class _Converter:
    def __init__(
        self,
        graphs: Sequence[Graph],
        index: int,
        custom: Mapping[str, CustomOperator],
        outer: _Converter | None = None,
        builder: Any = None,
    ) -> None:
        self.graphs = graphs
        self.custom = custom
        self.chain: tuple[int, ...] = (*(outer.chain if outer else ()), index)
        """The subgraphs that are being run, each by the one before."""
        self.runs: list[int] = outer.runs if outer else [0]
        self.runs[0] += 1
        if self.runs[0] > _MAX_RUNS:
            raise _TooManyRunsError(
                f"the model runs subgraphs in more than {_MAX_RUNS} places",
                cure="use a model that fits a microcontroller",
            )
        self._graph = with_replaced_items(graphs[index])
        self.builder = builder or relax.BlockBuilder()
        self._states = States()
        self._values: dict[int, Array | Any] = {}
        """By tensor, an array where it is known, else a Relax variable; None when refused."""
        self._specs: list[GivenSpec] = []
        self._refusals: list[Refusal] = []

    def initialize(self) -> States:
        """The variables of a subgraph that initializes them."""
        self._convert_operators()
        self._raise_refusals()
        return self._states

    def run(self, input_shapes: Sequence[Sequence[int]]) -> Converted:
        parameters = []
        for index, shape in zip(self._graph.inputs, input_shapes, strict=True):
            parameters.append(_variable(self._graph.tensors[index], shape))
            self._values[index] = parameters[-1]
        with self.builder.function(_MAIN):
            with self.builder.dataflow():
                self._convert_operators()
                results = [self._result(index) for index in self._graph.outputs]
                kept, constants = self._variables()
                results += [_expression(value) for _, value, _ in kept]
                parameters += [parameter for parameter, _, _ in kept]
                parameters += [parameter for parameter, _ in constants]
                value = results[0] if len(results) == 1 else relax.Tuple(results)
                output = self.builder.emit_output(value)
            self.builder.emit_func_output(output, parameters)
        self._raise_refusals()
        names = unique_names(str(parameter.name) for parameter, _, _ in kept)
        initial = {name: first for name, (_, _, first) in zip(names, kept, strict=True)}
        module = self.builder.get()
        if constants:
            module = relax.transform.BindParams(_MAIN, dict(constants))(module)
        return Converted(module, tuple(self._specs), initial)

    def _convert_operators(self) -> None:
        for tensor in self._graph.tensors:
            if tensor.data is not None:
                self._values[tensor.index] = tensor.data
            elif tensor.is_empty:
                self._values.setdefault(tensor.index, np.zeros(tensor.shape, tensor.dtype))
        for operator in self._graph.operators:
            self._convert(operator)

    def _variables(self) -> tuple[list[tuple[Any, Any, Array]], list[tuple[Any, Array]]]:
        try:
            return self._states.kept(), self._states.constants()
        except ValueError as error:
            raise ModelError(f"the model has a variable, and {error}", cure=_EXPORT) from error

    def nested(
        self, operator: Operator, index: int, inputs: Sequence[Operand], outputs: Sequence[int]
    ) -> tuple[Subgraph, list[tuple[tuple[int, ...], str]]]:
        """A subgraph that an operator of this graph runs (see `Subgraphs.converted`)."""
        inner = _Converter(self.graphs, index, self.custom, self)
        try:
            found = inner.function(inputs, outputs)
        except ValueError as error:
            raise self._refusal(operator, str(error)) from error
        if inner._refusals:
            self._refusals += inner._refusals
            names = [self._graph.tensors[output].name for output in operator.outputs]
            raise Refusal(operator, names, "what it runs is refused", is_consequence=True)
        return found

    def inlined(self, operator: Operator, index: int, inputs: Sequence[Operand]) -> list[Any]:
        """The results of a subgraph that an operator stands for (see `Subgraphs.inlined`)."""
        inner = _Converter(self.graphs, index, self.custom, self, self.builder)
        inner._specs = self._specs
        for number, operand in zip(inner._graph.inputs, inputs, strict=True):
            known = operand.value
            inner._values[number] = (
                self.builder.emit(operand.expression) if known is None else known
            )
        inner._convert_operators()
        names = [self._graph.tensors[output].name for output in operator.outputs]
        if inner._refusals:
            self._refusals += inner._refusals
            raise Refusal(operator, names, "what it runs is refused", is_consequence=True)
        if inner._states.kept() or inner._states.constants():
            raise Refusal(operator, names, "what it runs uses variables")
        return [inner._values[number] for number in inner._graph.outputs]

    def function(
        self, inputs: Sequence[Operand], outputs: Sequence[int]
    ) -> tuple[Subgraph, list[tuple[tuple[int, ...], str]]]:
        """This graph as a function of those inputs that are not known."""
        parameters = []
        for index, operand in zip(self._graph.inputs, inputs, strict=True):
            self._values[index] = operand.value if operand.open_list is None else operand.open_list
            if self._values[index] is None:
                tensor = replace(self._graph.tensors[index], dtype=operand.dtype)
                parameters.append(_variable(tensor, operand.shape))
                self._values[index] = parameters[-1]
        with self.builder.function(_MAIN):
            with self.builder.dataflow():
                self._convert_operators()
                results = [self._result(self._graph.outputs[position]) for position in outputs]
                normalized = [self.builder.normalize(result) for result in results]
                value = results[0] if len(results) == 1 else relax.Tuple(results)
                output = self.builder.emit_output(value)
            self.builder.emit_func_output(output, parameters)
        if self._states.kept() or self._states.constants():
            raise ValueError("what it runs uses variables")
        types = [] if self._refusals else [_type_of(result) for result in normalized]
        return Subgraph(self.builder.get(), tuple(self._specs)), types

    def _result(self, index: int) -> Any:
        value = self._values.get(index)
        if value is None and not self._refusals:
            raise ModelError(
                f"nothing computes the output {self._graph.tensors[index].name!r}",
                cure="export the model again",
            )
        if isinstance(value, Complex):
            raise ModelError(
                f"the output {self._graph.tensors[index].name!r} holds complex numbers",
                cure="give their real and imaginary parts as two outputs: tf.math.real and imag",
            )
        if self._refusals:
            return relax.const(0)  # the function has to end; it is not used
        if isinstance(value, OpenList):
            raise ValueError("it makes a list into which nothing was put")
        return _expression(value)

    def _convert(self, operator: Operator) -> None:
        try:
            results = self._results(operator)
        except Refusal as refusal:
            self._refusals.append(refusal)
            results = [self._stand_in(index) for index in operator.outputs]
        for index, result in zip(operator.outputs, results, strict=True):
            tensor = self._graph.tensors[index]
            if tensor.is_variable and isinstance(result, np.ndarray):
                # As models of float16 begin their states: DEQUANTIZE runs once, LiteRT keeps them.
                self._states.begin_tensor(tensor, result)
            else:
                self._values[index] = result

    def _stand_in(self, index: int) -> Any:
        """A variable for what a refused operator would have made, so that others are checked."""
        tensor = self._graph.tensors[index]
        is_known = -1 not in tensor.signature and (tensor.signature or tensor.is_ranked)
        is_known = is_known and tensor.dtype in C_TYPES
        return _variable(tensor, tensor.shape) if is_known else None

    def _results(self, operator: Operator) -> list[Any]:
        registration = operators.OPERATORS.get(operator.name)
        custom = self.custom.get(operator.name.removeprefix(PREFIX))
        if custom is not None and operator.name.startswith(PREFIX):
            registration = Registration(
                operator.name, lambda call: convert_custom(call, custom), 1 << 30, "", (), {}
            )
        if registration is None and operator.name.startswith(PREFIX):
            raise self._refusal(operator, *unregistered(operator.name.removeprefix(PREFIX)))
        if registration is None:
            raise self._refusal(
                operator,
                "it is not supported",
                "replace it in the model by supported operators (docs/operators.md)",
            )
        options = self._options(operator, registration)
        call = Call(
            operator,
            options,
            [self._operand(operator, index) for index in operator.inputs],
            [self._graph.tensors[index] for index in operator.outputs],
            self.builder,
            self._specs,
            self._states,
            _Subgraphs(self, operator),
            [self._graph.tensors[index] for index in operator.intermediates],
        )
        try:
            made = registration.convert(call)
        except (Refusal, _TooManyRunsError):
            raise
        except Exception as error:
            raise self._failure(operator, error) from error
        unread = options.unread(except_for=registration.ignored)
        if unread:
            raise self._refusal(
                operator, f"its options say what is not supported here: {', '.join(unread)}"
            )
        results = list(made) if isinstance(made, (list, tuple)) else [made]
        if len(results) != len(operator.outputs):
            raise self._refusal(operator, f"it has {len(operator.outputs)} outputs")
        return [
            self._checked(operator, result, self._graph.tensors[index])
            for result, index in zip(results, operator.outputs, strict=True)
        ]

    def _options(self, operator: Operator, registration: Registration) -> Options:
        if operator.version > registration.versions:
            raise self._refusal(
                operator,
                f"it is of version {operator.version}; known are versions up to "
                f"{registration.versions}",
                "export the model with an older release of the converter",
            )
        if operator.options_name not in ("", registration.options):
            raise self._refusal(operator, f"its options are {operator.options_name}")
        return Options(registration.options, operator.options, registration.reads)

    def _operand(self, operator: Operator, index: int) -> Operand | None:
        if index < 0:
            return None
        tensor = self._graph.tensors[index]
        value = self._values.get(index)
        if value is None and tensor.is_variable:
            return Operand(tensor, self._states.read_tensor(tensor))
        if value is None:
            is_refused = any(index in refusal.operator.outputs for refusal in self._refusals)
            why = f"nothing computes its input {tensor.name!r}"
            names = [self._graph.tensors[output].name for output in operator.outputs]
            raise Refusal(operator, names, why, is_consequence=is_refused)
        if tensor.dtype == LIST and not isinstance(value, OpenList):
            tensor = replace(tensor, dtype=_dtype_of(value))
        return Operand(tensor, value)

    def _checked(self, operator: Operator, result: Any, tensor: Tensor) -> Any:
        """A result in the form of `_values`, when it is what the file says."""
        if isinstance(result, (Handle, OpenList)):
            return result
        if isinstance(result, Complex):
            floats = replace(tensor, dtype="float32")
            parts = (result.real, result.imaginary)
            return Complex(*(self._checked(operator, part, floats) for part in parts))
        if isinstance(result, (np.ndarray, np.generic)):
            value = np.asarray(result)  # NumPy makes its own scalars of tensors without axes
            shape, dtype = value.shape, str(value.dtype)
        else:
            try:
                # The name is that of the layer; one that is the function's would take it away.
                name = f"{_MAIN}_" if tensor.name == _MAIN else tensor.name
                value = self.builder.emit(result, name)
            except Exception as error:  # of operands that the operator does not take
                raise self._failure(operator, error) from error
            shape, dtype = _type_of(value)
        # Converters do not know the shapes that custom operators give.
        is_custom = operator.name.startswith(PREFIX)
        is_list = tensor.dtype == LIST and (is_custom or operator.name == "WHILE")
        is_allowed = is_custom or tensor.allows(shape)
        if not is_list and (dtype != tensor.dtype or not is_allowed):
            raise self._refusal(
                operator,
                f"its output {tensor.name!r} would be {dtype} {shape}, but the file says "
                f"{tensor.dtype} {tensor.signature}",
                "export the model again with fixed shapes",
            )
        return value

    def _failure(self, operator: Operator, error: Exception) -> Refusal:
        if isinstance(error, ModelError):
            return self._refusal(operator, error.message, error.cure)
        why = f"TVM cannot convert it: {type(error).__name__}: {summary(error)}"
        return self._refusal(operator, why)

    def _refusal(self, operator: Operator, why: str, cure: str | None = None) -> Refusal:
        names = [self._graph.tensors[index].name for index in operator.outputs]
        return Refusal(operator, names, why, cure)

    def _raise_refusals(self) -> None:
        # What reads the result of a refused operator is not at fault.
        found = [r for r in self._refusals if not r.is_consequence]
        if not found:
            return
        kinds: dict[tuple[str, str], list[Refusal]] = {}
        for refusal in found:
            kinds.setdefault((refusal.operator.name, refusal.why), []).append(refusal)
        texts = [_told(refusals) for refusals in kinds.values()]
        if len(texts) > _SHOWN:
            rest = list(dict.fromkeys(name for name, _ in list(kinds)[_SHOWN:]))
            texts = [*texts[:_SHOWN], f"and {len(texts) - _SHOWN} more: {', '.join(rest)}"]
        cures = dict.fromkeys(refusal.cure for refusal in found)
        raise ModelError("; ".join(texts), cure="; ".join(cures))


def _told(refusals: Sequence[Refusal]) -> str:
    """What is wrong with operators of one kind, on one line."""
    first = refusals[0]
    others = f" and {len(refusals) - 1} more" if len(refusals) > 1 else ""
    tensors = ", ".join(repr(name) for name in first.tensors)
    return f"the operator {first.operator.name} (output {tensors}{others}): {first.why}"


class _Subgraphs:
    """The subgraphs of a model, for one of its operators (see `call.Subgraphs`)."""

    def __init__(self, converter: _Converter, operator: Operator) -> None:
        self._converter = converter
        self._operator = operator

    def graph(self, index: int) -> Graph:
        graphs = self._converter.graphs
        if not 0 < index < len(graphs):
            raise ValueError(f"the model has no subgraph {index}")
        if index in self._converter.chain:
            raise ValueError(f"the subgraph {index} runs itself")
        return graphs[index]

    def states(self, index: int) -> States:
        self.graph(index)
        outer = self._converter
        inner = _Converter(outer.graphs, index, outer.custom, outer, outer.builder)
        return inner.initialize()

    def converted(
        self, index: int, inputs: Sequence[Operand], outputs: Sequence[int] | None = None
    ) -> tuple[Subgraph, list[tuple[tuple[int, ...], str]]]:
        wanted = range(len(self.graph(index).outputs)) if outputs is None else outputs
        return self._converter.nested(self._operator, index, inputs, wanted)

    def inlined(self, index: int, inputs: Sequence[Operand]) -> list[Any]:
        self.graph(index)
        return self._converter.inlined(self._operator, index, inputs)


def _type_of(value: Any) -> tuple[tuple[int, ...], str]:
    """The shape and the dtype of an expression."""
    return tuple(int(extent) for extent in value.ty.shape), _dtype_of(value)


def _dtype_of(value: Array | Any) -> str:
    """NumPy's name of the element type of a value."""
    if isinstance(value, np.ndarray):
        return str(value.dtype)
    return str(getattr(value.ty.dtype, "dtype", value.ty.dtype))


def _expression(value: Array | Any) -> Any:
    return constant(value) if isinstance(value, np.ndarray) else value


def _variable(tensor: Tensor, shape: Sequence[int]) -> Any:
    name = tensor.name or f"tensor_{tensor.index}"
    return relax.Var(name, relax.TensorType(list(shape), tensor.dtype))
