"""Variables: what a model keeps from run to run (see `states`)."""

from __future__ import annotations

from pytest_microtvm.compiler.frontends.tflite.call import Call
from pytest_microtvm.compiler.frontends.tflite.registry import Result, operator
from pytest_microtvm.compiler.frontends.tflite.states import Handle


@operator("VAR_HANDLE", options="VarHandleOptions", reads=("Container", "SharedName"))
def var_handle(call: Call) -> Result:
    """The name of a variable."""
    return Handle(call.options["Container"], call.options["SharedName"])


@operator("READ_VARIABLE", options="ReadVariableOptions")
def read_variable(call: Call) -> Result:
    """What a variable holds now."""
    try:
        return call.states.read(call.input(0).handle, call.output)
    except ValueError as error:
        raise call.refusal(str(error)) from error


@operator("ASSIGN_VARIABLE", options="AssignVariableOptions")
def assign_variable(call: Call) -> Result:
    """Change a variable; it has no result."""
    operand = call.input(1)
    value = operand.expression if operand.value is None else operand.value
    try:
        call.states.assign(call.input(0).handle, operand.tensor, value)
    except ValueError as error:
        raise call.refusal(str(error)) from error
    return []


@operator("CALL_ONCE", options="CallOnceOptions", reads=("InitSubgraphIndex",))
def call_once(call: Call) -> Result:
    """Initialize variables; it has no result."""
    index = call.options["InitSubgraphIndex"]
    try:
        call.states.initialize(call.subgraphs.states(index))
    except ValueError as error:
        raise call.refusal(str(error)) from error
    return []
