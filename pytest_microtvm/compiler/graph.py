"""A program as a graph: the JSON that TVM's graph executor reads, and the functions it calls.

Inputs, constants and calls are nodes, in this order. What a node puts out is an entry. Views of a
tensor are no nodes: the calls that read them read the entry of the tensor. A kernel that changes a
tensor in place reads one entry and writes another in the same storage.

Where everything is in memory is the plan of the ahead-of-time executor, so that both need the same
arena. TVM's format has no place for that; the two attributes that say it are in docs/mlf.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pytest_microtvm.compiler.naming import Namespace, unique_names
from pytest_microtvm.compiler.planning import MemoryPlan
from pytest_microtvm.compiler.program import (
    CopyCall,
    Kernel,
    KernelCall,
    Program,
    Storage,
    StorageKind,
    TensorType,
)
from pytest_microtvm.errors import ModelError

COPY = "__copy"
"""The function of a node that copies its input to its output."""

MAX_ARGUMENTS = 255
"""Most tensors of one function: the runtime counts them in a byte."""

_CPU_DEVICE = 1
"""DLPack's device type of a CPU."""


@dataclass(frozen=True)
class GraphFunction:
    """A kernel as nodes call it: with pointers to all inputs, then to all outputs.

    A kernel that takes numbers by value has one function for each choice of them.

    Args:
        name: Its name in the graph, a C identifier.
        kernel: What it calls.
        parameters: For each parameter of the kernel the position of a pointer, or a C literal.
        argument_bytes: The size of each tensor.
        num_outputs: How many of the tensors are outputs.
        in_place: Positions (input, output) of tensors that the kernel changes in place.
    """

    name: str
    kernel: Kernel
    parameters: tuple[int | str, ...]
    argument_bytes: tuple[int, ...]
    num_outputs: int
    in_place: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class StorageInfo:
    """Memory that entries live in.

    Args:
        size_bytes: Its size.
        input_name: The node of the input or constant that is in it, if it is one.
    """

    size_bytes: int
    input_name: str | None


@dataclass(frozen=True)
class ExecutorGraph:
    """A program as a graph.

    Args:
        text: The JSON, in ASCII.
        functions: What nodes call, in order of first call.
        constant_names: The name of the node of each constant.
        storages: By storage_id.
        num_nodes: All nodes.
        num_entries: What all nodes put out.
        num_steps: The nodes that call a function or copy.
        num_arguments: Inputs and outputs of those nodes.
    """

    text: str
    functions: tuple[GraphFunction, ...]
    constant_names: tuple[str, ...]
    storages: tuple[StorageInfo, ...]
    num_nodes: int
    num_entries: int
    num_steps: int
    num_arguments: int

    @property
    def counts(self) -> dict[str, int]:
        """What sizes the memory of a graph executor, as metadata and macros name it."""
        return {
            "nodes": self.num_nodes,
            "entries": self.num_entries,
            "steps": self.num_steps,
            "arguments": self.num_arguments,
        }


def build_graph(program: Program, plan: MemoryPlan) -> ExecutorGraph:
    """Turn a program and its memory plan into a graph.

    Raises:
        ModelError: The program reads what nothing has written, or a kernel has too many arguments.
    """
    builder = _Builder(program, plan)
    for index, port in enumerate(program.inputs):
        builder.add_source(Storage(StorageKind.INPUT, index, port.type), port.name)
    for index, array in enumerate(program.constants):
        ty = TensorType(tuple(array.shape), str(array.dtype))
        builder.add_source(Storage(StorageKind.CONSTANT, index, ty), f"p{index}")
    for position, call in enumerate(program.calls):
        if isinstance(call, CopyCall):
            builder.add_copy(call)
        else:
            builder.add_call(position, call)
    return builder.finish()


_Key = tuple[StorageKind, int]


@dataclass(frozen=True)
class _Binding:
    """A call's arguments, sorted into what the kernel gets and what the node says."""

    inputs: tuple[Storage, ...]
    outputs: tuple[Storage, ...]
    parameters: tuple[int | str, ...]
    in_place: tuple[tuple[int, int], ...]


class _Builder:
    def __init__(self, program: Program, plan: MemoryPlan) -> None:
        self._program = program
        self._plan = plan
        self._nodes: list[dict[str, Any]] = []
        self._first_entries = [0]
        self._entries: list[Storage] = []
        self._storage_ids: dict[_Key, int] = {}
        self._current: dict[_Key, list[int]] = {}
        """The reference to the entry with the newest content of a storage."""
        self._functions: dict[tuple[Any, ...], GraphFunction] = {}
        self._names = Namespace(kernel.c_name for kernel in program.kernels.values())

    def add_source(self, storage: Storage, name: str) -> None:
        """Add the node of an input or constant."""
        self._add_node({"op": "null", "name": name, "inputs": []}, (storage,))

    def add_copy(self, call: CopyCall) -> None:
        """Add a node that copies."""
        self._add_operation("copy", COPY, (call.source,), (call.target,), {})

    def add_call(self, position: int, call: KernelCall) -> None:
        """Add a node that calls a kernel."""
        kernel = self._program.kernels[call.kernel]
        binding = self._bind(kernel, call)
        attributes = {}
        if kernel.workspace_bytes:
            attributes["workspace_offset"] = str(self._plan.workspace_offsets[position])
        function = self._function(kernel, binding)
        self._add_operation(kernel.name, function.name, binding.inputs, binding.outputs, attributes)

    def finish(self) -> ExecutorGraph:
        """The graph of all that was added."""
        nodes = self._nodes
        for node, name in zip(nodes, unique_names(node["name"] for node in nodes), strict=True):
            node["name"] = name
        sources = [index for index, node in enumerate(nodes) if node["op"] == "null"]
        document = {
            "nodes": nodes,
            "arg_nodes": sources,
            "heads": [
                self._reference((StorageKind.OUTPUT, index))
                for index in range(len(self._program.outputs))
            ],
            "attrs": self._attributes(),
            "node_row_ptr": self._first_entries,
        }
        names = [str(nodes[index]["name"]) for index in sources]
        steps = [node for node in nodes if node["op"] != "null"]
        return ExecutorGraph(
            text=json.dumps(document, separators=(",", ":")),
            functions=tuple(self._functions.values()),
            constant_names=tuple(names[len(self._program.inputs) :]),
            storages=self._storages(names),
            num_nodes=len(nodes),
            num_entries=len(self._entries),
            num_steps=len(steps),
            num_arguments=sum(
                int(node["attrs"]["num_inputs"]) + int(node["attrs"]["num_outputs"])
                for node in steps
            ),
        )

    # Nodes and entries.

    def _add_operation(
        self,
        name: str,
        function: str,
        inputs: tuple[Storage, ...],
        outputs: tuple[Storage, ...],
        attributes: dict[str, str],
    ) -> None:
        node = {
            "op": "tvm_op",
            "name": name,
            "attrs": {
                "func_name": function,
                "num_inputs": str(len(inputs)),
                "num_outputs": str(len(outputs)),
                "flatten_data": "0",
                **attributes,
            },
            "inputs": [self._reference(_key(storage)) for storage in inputs],
        }
        self._add_node(node, outputs)

    def _add_node(self, node: dict[str, Any], outputs: tuple[Storage, ...]) -> None:
        for position, storage in enumerate(outputs):
            self._storage_ids.setdefault(_key(storage), len(self._storage_ids))
            self._current[_key(storage)] = [len(self._nodes), position, 0]
        self._entries += outputs
        self._first_entries.append(len(self._entries))
        self._nodes.append(node)

    def _reference(self, key: _Key) -> list[int]:
        if key not in self._current:
            raise ModelError(
                "the model uses a tensor that nothing computes", cure="export the model again"
            )
        return self._current[key]

    # Functions.

    def _bind(self, kernel: Kernel, call: KernelCall) -> _Binding:
        """Sort the arguments of a call."""
        reads: dict[int, Storage] = {}
        writes: dict[int, Storage] = {}
        for index, (parameter, argument) in enumerate(
            zip(kernel.parameters, call.arguments, strict=True)
        ):
            if not isinstance(argument, Storage):
                continue
            is_known = _key(argument) in self._current
            if is_known:
                reads[index] = argument
            # The first to get a tensor gives it, even if it leaves some of it as it is.
            if parameter.is_written or not is_known:
                writes[index] = argument
        positions = {index: position for position, index in enumerate(reads)}
        in_place = tuple(
            (positions[index], len(reads) + place)
            for place, index in enumerate(writes)
            if index in reads
        )
        positions |= {index: len(reads) + place for place, index in enumerate(writes)}
        return _Binding(
            tuple(reads.values()),
            tuple(writes.values()),
            tuple(
                argument if isinstance(argument, str) else positions[index]
                for index, argument in enumerate(call.arguments)
            ),
            in_place,
        )

    def _function(self, kernel: Kernel, binding: _Binding) -> GraphFunction:
        """The function for a call, made when no earlier call needed the same."""
        tensors = (*binding.inputs, *binding.outputs)
        if len(tensors) > MAX_ARGUMENTS:
            raise ModelError(
                f"the operator(s) {kernel.name!r} take {len(tensors)} tensors, "
                f"more than {MAX_ARGUMENTS}",
                cure="split the operator in the model",
            )
        key = (kernel.name, binding.parameters, binding.in_place, len(binding.outputs))
        if key not in self._functions:
            is_first = all(function.kernel is not kernel for function in self._functions.values())
            self._functions[key] = GraphFunction(
                kernel.c_name if is_first else self._names.another(kernel.c_name),
                kernel,
                binding.parameters,
                tuple(storage.size_bytes for storage in tensors),
                len(binding.outputs),
                binding.in_place,
            )
        return self._functions[key]

    # What the graph says of its entries.

    def _attributes(self) -> dict[str, Any]:
        entries = self._entries
        return {
            "dltype": ["list_str", [entry.type.dtype for entry in entries]],
            "device_index": ["list_int", [_CPU_DEVICE] * len(entries)],
            "storage_id": ["list_int", [self._storage_ids[_key(entry)] for entry in entries]],
            "shape": ["list_shape", [list(entry.type.shape) for entry in entries]],
            "storage_offset": ["list_int", [self._offset(entry) for entry in entries]],
        }

    def _offset(self, storage: Storage) -> int:
        if storage.kind is not StorageKind.ARENA:
            return -1
        return self._plan.storage_offsets[storage.index]

    def _storages(self, source_names: list[str]) -> tuple[StorageInfo, ...]:
        """By storage_id; the nodes of inputs and constants come first, with one entry each."""
        sizes = {_key(entry): entry.size_bytes for entry in self._entries}
        names = [*source_names, *[None] * (len(sizes) - len(source_names))]
        return tuple(
            StorageInfo(sizes[key], name)
            for key, name in zip(self._storage_ids, names, strict=True)
        )


def _key(storage: Storage) -> _Key:
    return storage.kind, storage.index
