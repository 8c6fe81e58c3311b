"""The variables of a model: what it keeps from run to run.

In the file a variable is a resource that operators read and assign. Here it is a parameter of the
function, and what was assigned last a result of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.graph import Array, Tensor


@dataclass(frozen=True)
class Handle:
    """The name of a variable, in a container of them."""

    container: bytes | None
    name: bytes | None


@dataclass
class _State:
    """A variable that was read or assigned.

    Args:
        parameter: Its value before the run, once it was read.
        value: Its value now: an array where it is known, else a Relax variable.
        is_assigned: Whether the run changes it.
    """

    dtype: str
    shape: tuple[int, ...]
    parameter: Any = None
    value: Array | Any = None
    is_assigned: bool = False


class States:
    """The variables of one model while it is converted."""

    def __init__(self) -> None:
        self._initial: dict[Handle, Array] = {}
        self._states: dict[Handle, _State] = {}

    def read(self, handle: Handle, tensor: Tensor) -> Any:
        """What a variable holds now.

        Args:
            handle: Which.
            tensor: What the file says of the value.

        Raises:
            ValueError: The file says another type than elsewhere.
        """
        state = self._of(handle, tensor)
        if state.value is None:
            name = (handle.name or b"").decode("utf-8", errors="replace") or "state"
            state.parameter = relax.Var(name, relax.TensorType(list(state.shape), state.dtype))
            state.value = state.parameter
        return state.value

    def read_tensor(self, tensor: Tensor) -> Any:
        """What a tensor of the file that is a variable holds now; it begins as zero."""
        handle = _handle_of(tensor)
        zero = 0 if tensor.quantization is None else tensor.quantization.zero_point
        self._initial.setdefault(handle, np.full(tensor.shape, zero, tensor.dtype))
        return self.read(handle, tensor)

    def begin_tensor(self, tensor: Tensor, initial: Array) -> None:
        """Let a tensor of the file that is a variable begin as `initial`."""
        self._initial[_handle_of(tensor)] = initial

    def read_kept(self, handle: Handle, tensor: Tensor, initial: Array) -> Any:
        """What a variable that begins as `initial` holds now."""
        self._initial.setdefault(handle, initial)
        return self.read(handle, tensor)

    def assign_tensor(self, tensor: Tensor, value: Any) -> None:
        """Change a tensor of the file that is a variable."""
        self.assign(_handle_of(tensor), tensor, value)

    def assign(self, handle: Handle, tensor: Tensor, value: Array | Any) -> None:
        """Change a variable; arguments and errors as of `read`."""
        state = self._of(handle, tensor)
        state.value, state.is_assigned = value, True

    def initialize(self, values: States) -> None:
        """Take what the initialization of the model assigned.

        Raises:
            ValueError: It assigned what is known at run time only.
        """
        for handle, state in values._states.items():
            if not isinstance(state.value, np.ndarray):
                raise ValueError("it initializes a variable by what is computed")
            self._initial[handle] = state.value

    def kept(self) -> list[tuple[Any, Any, Array]]:
        """For each variable that runs change its parameter, its last value, and its first."""
        return [
            (state.parameter, state.value, self._first(handle, state))
            for handle, state in self._states.items()
            if state.parameter is not None and state.is_assigned
        ]

    def constants(self) -> list[tuple[Any, Array]]:
        """For each variable that no run changes its parameter and its value."""
        return [
            (state.parameter, self._first(handle, state))
            for handle, state in self._states.items()
            if state.parameter is not None and not state.is_assigned
        ]

    def _first(self, handle: Handle, state: _State) -> Array:
        initial = self._initial.get(handle, np.zeros(state.shape, state.dtype))
        if initial.shape != state.shape or str(initial.dtype) != state.dtype:
            raise ValueError("it initializes a variable by another type than that of its values")
        return initial

    def _of(self, handle: Handle, tensor: Tensor) -> _State:
        # Scales may differ, as in int16x8 models of recurrent layers: TFLite keeps the integers.
        state = self._states.setdefault(handle, _State(tensor.dtype, tensor.shape))
        if (state.dtype, state.shape) != (tensor.dtype, tensor.shape):
            raise ValueError("the values of a variable have different types or shapes")
        return state


def _handle_of(tensor: Tensor) -> Handle:
    return Handle(f"tensor {tensor.index}".encode(), tensor.name.encode())
