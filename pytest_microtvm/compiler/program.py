"""What a lowered model is, in plain data: the form between TVM and the emitters.

Nothing here knows TVM. `lowering` and `kernels` produce a `Program`; `planning` and the emitters
read it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.mlf.element_types import ALIGNMENT_BYTES, DTYPE_BYTES
from pytest_microtvm.mlf.specs import DeadWeights

STACK_LIMIT_BYTES = 256
"""Most bytes of local arrays that one kernel may keep on the stack; the rest lives in the arena."""

C_TYPES = {
    "bool": "uint8_t",
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "uint8": "uint8_t",
    "uint16": "uint16_t",
    "uint32": "uint32_t",
    "uint64": "uint64_t",
    "float32": "float",
    "float64": "double",
}
"""The element types that models may use, and how C stores them (a bool is one byte, 0 or 1)."""


def dtype_bytes(dtype: str) -> int:
    """Bytes of one element of `dtype` (a key of `C_TYPES`)."""
    return DTYPE_BYTES[dtype]


def align_up(size_bytes: int, alignment_bytes: int = ALIGNMENT_BYTES) -> int:
    """`size_bytes` rounded up to a multiple of `alignment_bytes`."""
    return -(-size_bytes // alignment_bytes) * alignment_bytes


@dataclass(frozen=True)
class TensorType:
    """Shape (possibly empty: a scalar) and element type of a tensor in row-major order."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensor without padding."""
        return math.prod(self.shape) * dtype_bytes(self.dtype)


@dataclass(frozen=True)
class Quantization:
    """Real number = `scale * (value - zero_point)`."""

    scale: np.float32
    zero_point: int


@dataclass(frozen=True)
class Port:
    """An input or output of the model.

    Args:
        name: The model's own name for the tensor, unique among all inputs (or outputs).
        c_name: The C identifier, unique among all inputs and outputs whatever the letter case.
        type: Shape and element type.
        signature_name: The name in the model's signature, where it has one.
        quantization: Of its values, where all have the same.
        index_limit: Where its elements number those of an axis, the extent of that.
    """

    name: str
    c_name: str
    type: TensorType
    signature_name: str | None = None
    quantization: Quantization | None = None
    index_limit: int | None = None


class StorageKind(Enum):
    """Where the bytes of a storage live."""

    INPUT = "input"
    """The caller's input buffer `index`; never written."""
    OUTPUT = "output"
    """The caller's output buffer `index`."""
    CONSTANT = "constant"
    """The constant `index`."""
    ARENA = "arena"
    """The arena, at an offset that `planning` decides."""


@dataclass
class Storage:
    """A run of bytes that kernels read and write.

    Args:
        kind: Where it lives.
        index: Which input, output or constant; the storage's own number in the arena.
        type: What it holds. Kernels may see the same bytes in another shape.
    """

    kind: StorageKind
    index: int
    type: TensorType

    @property
    def size_bytes(self) -> int:
        """Its size."""
        return self.type.size_bytes


@dataclass(frozen=True)
class KernelParameter:
    """One parameter of a kernel: a pointer to elements, or a scalar by value."""

    name: str
    dtype: str
    is_pointer: bool
    is_written: bool


@dataclass(frozen=True)
class Device:
    """An accelerator.

    Args:
        name: Its member in `struct tvmgen_NAME_devices`, a C identifier in lower case.
        id: What a context names it by.
    """

    name: str
    id: int = 0

    def hook(self, what: str) -> str:
        """The function of the application, or of the library, that does something with it.

        Args:
            what: "Activate", "Open", "Close" or "Deactivate".
        """
        return f"TVMDevice{''.join(word.capitalize() for word in self.name.split('_'))}{what}"


@dataclass(frozen=True)
class ExternalUse:
    """What a model needs that calls kernels from outside.

    Args:
        name: Of the library, or of the accelerator.
        headers: What its kernels include.
        files: What goes into the archive, by path below codegen/host.
        device: The accelerator, if it is one.
        link_flags: Libraries that a firmware is linked with.
    """

    name: str
    headers: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    device: Device | None = None
    link_flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Overlap:
    """How the output of a kernel may share memory with an input that nothing reads afterwards.

    Args:
        input: Number of the input; of a kernel of a program, position of the parameter.
        distance_bytes: Between where they begin, at least.
        is_behind: Whether the output is the one behind: the kernel goes through both from the end.
    """

    input: int
    distance_bytes: int
    is_behind: bool = False


@dataclass(frozen=True)
class Chosen:
    """How a kernel was written, where that was open; see `quantized.choices`.

    Args:
        kernel: What tuning logs call the kind of kernel.
        workload: What decides how fast it is, as they have it.
        choice: What was taken, likewise.
        memory_bytes: What the kernel needs beside its input, or beside its output, if that is
            larger: its workspace, and how far both have to be apart where they share memory.
    """

    kernel: str
    workload: Mapping[str, Any]
    choice: Mapping[str, Any]
    memory_bytes: int


@dataclass(frozen=True)
class Kernel:
    """A C function over plain pointers.

    Args:
        name: Its name in the lowered module.
        c_name: Its C identifier.
        parameters: In the order of the arguments of a call.
        workspace_bytes: Scratch memory it wants as its last parameter; 0 when it wants none.
        body: The statements between the braces.
        helpers: Names of the `c_printer` helper functions the body calls.
        is_generated: It is no kernel of TVM's, and no two of its pointers overlap.
        is_float: The same, and it computes over floats; others need `tvmgen_integer.h`.
        in_place: Positions of parameters whose memory the last parameter may have after all, one
            at a time.
        overlaps: How the memory of the last parameter may overlap with that of inputs.
        headers: Further headers that the body needs.
        macs: Multiplications with accumulation in one call; None where that is not known.
        comment: Lines that say what it computes.
        callees: Kernels that the body calls.
        external: The name of the library that it is of; empty where it is ours.
        device: The accelerator that runs it, whose instance is one more parameter, the last.
        chosen: How it was written, where that was open.
    """

    name: str
    c_name: str
    parameters: tuple[KernelParameter, ...]
    workspace_bytes: int
    body: str
    helpers: frozenset[str]
    is_generated: bool = False
    is_float: bool = False
    in_place: tuple[int, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    headers: tuple[str, ...] = ()
    macs: int | None = None
    comment: tuple[str, ...] = ()
    callees: tuple[Kernel, ...] = ()
    external: str = ""
    device: Device | None = None
    chosen: Chosen | None = None

    @property
    def computes_in_float(self) -> bool:
        """Whether there are floats in it, if only between integers."""
        return self.is_float or (
            not self.is_generated and re.search(r"\bfloat\b", self.body) is not None
        )

    @property
    def with_callees(self) -> tuple[Kernel, ...]:
        """All kernels that it calls, and what these call, and itself behind them."""
        return (*(each for callee in self.callees for each in callee.with_callees), self)


@dataclass(frozen=True)
class KernelCall:
    """One call: the kernel's name, and a storage or a C literal for each parameter."""

    kernel: str
    arguments: tuple[Storage | str, ...]


@dataclass(frozen=True)
class CopyCall:
    """A plain copy of all bytes of `target` from `source`."""

    source: Storage
    target: Storage


@dataclass(frozen=True)
class FloatCost:
    """What operators of a quantized model take that are computed in float32.

    Args:
        functions: C names of the kernels that compute them.
        constants_bytes: Float32 constants that these read.
        workspace_bytes: What one of them takes of the arena, at the most.
    """

    functions: tuple[str, ...]
    constants_bytes: int
    workspace_bytes: int


@dataclass
class Program:
    """A model as kernels, constants and a flat list of calls in order of execution.

    A model that remembers has states: its last inputs, and as many last outputs, which are the same
    states after the run. Both share memory that the model keeps from run to run; no call writes a
    state that a later call reads, or that it reads itself.
    """

    inputs: list[Port]
    outputs: list[Port]
    constants: list[npt.NDArray[np.generic]]
    calls: list[KernelCall | CopyCall]
    kernels: dict[str, Kernel] = field(default_factory=dict)
    float_operators: tuple[str, ...] = ()
    """Groups of operators of a quantized model that are computed in float32."""
    initial_states: tuple[int | None, ...] = ()
    """For each state the constant that it begins as; None where that is zeros."""
    external: ExternalUse | None = None
    """What its kernels from outside need, where it has some."""
    dead_weights: DeadWeights | None = None

    @property
    def device(self) -> Device | None:
        """The accelerator that some of its kernels run on."""
        return None if self.external is None else self.external.device

    @property
    def functions(self) -> list[Kernel]:
        """All kernels, those that others call before them."""
        return [each for kernel in self.kernels.values() for each in kernel.with_callees]

    @property
    def model_inputs(self) -> list[Port]:
        """The inputs that a caller gives: all but the states."""
        return self.inputs[: len(self.inputs) - len(self.initial_states)]

    @property
    def model_outputs(self) -> list[Port]:
        """The outputs that a caller gets: all but the states."""
        return self.outputs[: len(self.outputs) - len(self.initial_states)]

    @property
    def states(self) -> list[Port]:
        """What the model keeps from run to run."""
        return self.inputs[len(self.model_inputs) :]

    @property
    def state_offsets(self) -> list[int]:
        """Where each state is in the memory of all states, in bytes; and last, the size of that."""
        offsets = [0]
        for state in self.states:
            offsets.append(offsets[-1] + align_up(state.type.size_bytes))
        return offsets

    def storages(self, call: KernelCall | CopyCall) -> list[Storage]:
        """The storages that `call` touches."""
        if isinstance(call, CopyCall):
            return [call.source, call.target]
        return [argument for argument in call.arguments if isinstance(argument, Storage)]

    def workspace_bytes(self, call: KernelCall | CopyCall) -> int:
        """Bytes of scratch memory that `call` needs in the arena."""
        return self.kernels[call.kernel].workspace_bytes if isinstance(call, KernelCall) else 0

    def float_cost(self) -> FloatCost:
        """What `float_operators` take."""
        functions: dict[str, None] = {}
        constants: dict[int, int] = {}
        workspace_bytes = 0
        for call in self.calls:
            if isinstance(call, CopyCall) or not self.kernels[call.kernel].computes_in_float:
                continue
            functions[self.kernels[call.kernel].c_name] = None
            floats = [s for s in self.storages(call) if s.type.dtype == "float32"]
            constants |= {s.index: s.size_bytes for s in floats if s.kind is StorageKind.CONSTANT}
            tensors = {s.index: s.size_bytes for s in floats if s.kind is StorageKind.ARENA}
            total_bytes = sum(tensors.values()) + self.workspace_bytes(call)
            workspace_bytes = max(workspace_bytes, total_bytes)
        return FloatCost(tuple(functions), sum(constants.values()), workspace_bytes)
