"""What a front end makes of a model file: a Relax module with named inputs and outputs."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.failures import summary, tvm_failure
from pytest_microtvm.compiler.frontends.indices import index_limits
from pytest_microtvm.compiler.lowering import tensor_type
from pytest_microtvm.compiler.naming import Namespace, unique_names
from pytest_microtvm.compiler.program import Port
from pytest_microtvm.compiler.quantized.arithmetic import LIMITS
from pytest_microtvm.compiler.quantized.given import GivenSpec
from pytest_microtvm.compiler.quantized.recognise.values import Values, dtype_of
from pytest_microtvm.errors import ModelError

EXPORT_CURE = "export the model again, or copy the whole file"
_OPERATOR_CURE = "replace the operator in the model by supported ones"
_CONVERTED_CURE = "check that the model is whole and its shapes fit, or replace that operator"


@dataclass(frozen=True)
class TensorName:
    """The names of an input or output in the model.

    Args:
        name: The tensor's own name.
        signature_name: Its name in the model's signature, where it has one.
    """

    name: str
    signature_name: str | None = None


@dataclass(frozen=True)
class ImportedModel:
    """A Relax module with its inputs and outputs in the model's order.

    What a model keeps from run to run is a further parameter of `main` for each state, after the
    inputs, and its next value a further result, after the outputs.

    Args:
        module: The IRModule.
        inputs: The parameters of `main`, the states last.
        outputs: Its results, the states' next values last.
        specs: Kernels that `main` calls by `given.PREFIX` and their position.
        initial_states: What each state begins as.
        is_even: Whether quantization rounds to the nearest values, ties to even; else as TFLite's
            kernels do.
    """

    module: Any
    inputs: list[Port]
    outputs: list[Port]
    specs: tuple[GivenSpec, ...] = ()
    initial_states: tuple[npt.NDArray[np.generic], ...] = ()
    is_even: bool = False


def imported(
    module: Any,
    inputs: Sequence[TensorName] | None,
    outputs: Sequence[TensorName] | None,
    specs: Sequence[GivenSpec] = (),
    initial_states: Mapping[str, npt.NDArray[np.generic]] | None = None,
) -> ImportedModel:
    """Give names to the parameters and results of the module's `main`.

    Args:
        module: An IRModule.
        inputs: The names of the parameters in order; their own names when None.
        outputs: The names of the results in order; "output" and a number when None.
        specs: Kernels that the module calls.
        initial_states: What each state begins as, by its name, in the order of the parameters
            after the inputs and of the results after the outputs; needs names for both.

    Raises:
        ModelError: `main` is missing, or takes or returns what is not a static tensor.
    """
    main = _main_function(module)
    if inputs is None:
        inputs = [TensorName(str(parameter.name)) for parameter in main.params]
    fields = _fields(main.ret_ty)
    states = [TensorName(name) for name in initial_states or ()]
    inputs, outputs = [*inputs, *states], outputs if outputs is None else [*outputs, *states]
    if outputs is None:
        single = len(fields) == 1
        outputs = [TensorName("output" if single else f"output_{i}") for i in range(len(fields))]
    if len(inputs) != len(main.params) or len(outputs) != len(fields):
        raise ModelError(
            "the imported function does not have the model's inputs and outputs",
            cure="export the model with one graph whose inputs and outputs are all used",
        )
    if not fields:
        raise ModelError("the model has no outputs", cure="export the model with its outputs")
    c_names = Namespace(["workspace", "workspace_workspace_pool"])
    values = Values(main)
    results = _results(values, main.body.body)
    return ImportedModel(
        module,
        _ports(inputs, main.params, values, c_names, "input"),
        _ports(outputs, results, values, c_names, "output"),
        tuple(specs),
        tuple((initial_states or {}).values()),
    )


def _results(values: Values, expression: Any) -> list[Any]:
    """The tensors that make up a result, tuples laid flat."""
    made = values.definition(expression)
    if type(made).__name__ != "Tuple":
        return [expression]
    return [leaf for field in made.fields for leaf in _results(values, field)]


def _fields(ty: Any) -> list[Any]:
    """The tensor types in a type, tuples laid flat."""
    if type(ty).__name__ != "TupleType":
        return [ty]
    return [leaf for field in ty.fields for leaf in _fields(field)]


def _ports(
    names: Sequence[TensorName],
    tensors: Sequence[Any],
    values: Values,
    c_names: Namespace,
    fallback: str,
) -> list[Port]:
    unique = unique_names(item.name for item in names)
    limits = index_limits(values)
    return [
        Port(
            name,
            c_names.unique(item.name, fallback),
            tensor_type(tensor.ty, item.name),
            item.signature_name,
            values.quantization_of(tensor) if dtype_of(tensor) in LIMITS else None,
            limits.get(tensor),
        )
        for name, item, tensor in zip(unique, names, tensors, strict=True)
    ]


def _main_function(module: Any) -> Any:
    for variable, function in module.functions.items():
        if variable.name_hint == "main" and type(function).__name__ == "Function":
            return function
    raise ModelError(
        "the module has no Relax function named 'main'", cure="name the model's function 'main'"
    )


def import_failure(error: Exception, where: str = "") -> ModelError:
    """What TVM's importer said, on one line.

    Args:
        error: What it raised.
        where: The operator that it was at, where that is known.
    """
    if isinstance(error, ModelError):
        return error
    if where:
        return ModelError(
            f"the operator {where} cannot be converted: {type(error).__name__}: {summary(error)}",
            cure=_CONVERTED_CURE,
        )
    if isinstance(error, struct.error):
        return ModelError("the file is truncated or damaged", cure=EXPORT_CURE)
    if isinstance(error, NotImplementedError) or "NotImplemented" in type(error).__name__:
        said = " ".join(str(error).split())
        return ModelError(f"the model has an unsupported operator: {said}", cure=_OPERATOR_CURE)
    return tvm_failure("import", error)
