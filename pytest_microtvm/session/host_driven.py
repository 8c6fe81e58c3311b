"""The graph executor on this machine, with every tensor and every kernel on the device.

Slow, since each call crosses the link, but it sees each tensor: it can tell the first kernel whose
result is not what it should be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_microtvm.errors import ModelError
from pytest_microtvm.mlf.graph import COPY, Graph, Node
from pytest_microtvm.session.rpc import RpcClient


@dataclass(frozen=True)
class NodeResult:
    """What one call gave, in debug mode.

    Attributes:
        node: The call.
        outputs: Its outputs, in its order.
        seconds: Its time by the device's timer; of one call.
    """

    node: Node
    outputs: tuple[NDArray[np.generic], ...]
    seconds: float


class HostDrivenModel:
    """A model whose kernels are on a device.

    Args:
        client: The connection to the device.
        graph: What to call.
        num_inputs: How many inputs the model has.
        arena_bytes: The size of its arena.
        initial_states: For each of its states the name of the constant that it begins as; None
            where that is zeros.

    Raises:
        Exception: Whatever TVM's client raises when the device refuses.
    """

    def __init__(
        self,
        client: RpcClient,
        graph: Graph,
        num_inputs: int,
        arena_bytes: int,
        initial_states: Sequence[str | None] = (),
    ) -> None:
        rpc = client.session
        self._graph = graph
        self._device = rpc.device("cpu", 0)
        library = rpc.system_lib()
        names = dict.fromkeys(node.function for node in graph.nodes)
        self._kernels = {name: library[name] for name in names if name != COPY}
        self._library = library
        get_constant = rpc.get_function("microtvm.model.get_constant")
        sources = list(graph.sources.items())
        self._inputs = [index for _, index in sources[:num_inputs]]
        num_states = len(initial_states)
        states = [index for _, index in sources[num_inputs : num_inputs + num_states]]
        self._initial = dict(zip(states, initial_states, strict=True))
        self._tensors = {
            index: get_constant(name) for name, index in sources[num_inputs + num_states :]
        }
        self._heads = graph.heads[: len(graph.heads) - num_states]
        # The next value of a state is made where the last one was.
        for state, head in zip(states, graph.heads[len(self._heads) :], strict=True):
            entry = graph.entries[state]
            self._tensors[state] = client.allocate(entry.shape, entry.dtype)
            self._tensors[head] = self._tensors[state]
        # One block, laid out as the ahead-of-time executor's: the device needs no more memory.
        # The device makes the views, because TVM's client, when it copies one of its own, forgets
        # the offset (apache-tvm 0.27) and takes the start of the block.
        self._arena = arena = client.allocate((max(1, arena_bytes),), "uint8")
        view = rpc.get_function("microtvm.memory.view")
        for index, entry in enumerate(graph.entries):
            if index in self._tensors:
                continue
            if entry.offset_bytes is None:
                self._tensors[index] = client.allocate(entry.shape, entry.dtype)
            else:
                self._tensors[index] = view(
                    arena._create_view(entry.shape, entry.dtype, entry.offset_bytes)
                )
        self.reset()

    def reset(self) -> None:
        """Give each state its initial value."""
        for index, name in self._initial.items():
            if name is None:
                entry = self._graph.entries[index]
                self._tensors[index].copyfrom(np.zeros(entry.shape, entry.dtype))
            else:
                self._tensors[self._graph.sources[name]].copyto(self._tensors[index])

    def run(self, inputs: list[NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """Run the model once; inputs and outputs in the model's order."""
        self._write(inputs)
        for node in self._graph.nodes:
            self._call(node)
        return [self._read(index) for index in self._heads]

    def debug(
        self, inputs: list[NDArray[np.generic]], *, is_timed: bool = True
    ) -> list[NodeResult]:
        """Run the model once, and keep every call's outputs and time.

        Args:
            inputs: In the model's order.
            is_timed: Take the times, for which kernels run once more; they are 0 if not.
        """
        self._write(inputs)
        results = []
        for node in self._graph.nodes:
            # A kernel may write over its input: only its first run counts.
            is_first = not is_timed or self._is_over_its_input(node)
            if is_first:
                self._call(node)
                outputs = tuple(self._read(index) for index in node.outputs)
            seconds = self._time(node) if is_timed else 0.0
            if not is_first:
                outputs = tuple(self._read(index) for index in node.outputs)
            elif is_timed:
                for index, array in zip(node.outputs, outputs, strict=True):
                    self._tensors[index].copyfrom(array)
            results.append(NodeResult(node, outputs, seconds))
        return results

    def _is_over_its_input(self, node: Node) -> bool:
        """Whether an output of a call takes memory of an input in the arena."""
        spans = [self._span(index) for index in node.inputs]
        return any(
            first < end_of_input and first_of_input < end
            for first, end in map(self._span, node.outputs)
            for first_of_input, end_of_input in spans
        )

    def _span(self, index: int) -> tuple[int, int]:
        """Where a tensor begins and ends in the arena; nowhere for one that is not in it."""
        entry = self._graph.entries[index]
        if entry.offset_bytes is None:
            return 0, 0
        size_bytes = math.prod(entry.shape) * np.dtype(entry.dtype).itemsize
        return entry.offset_bytes, entry.offset_bytes + size_bytes

    def _write(self, inputs: list[NDArray[np.generic]]) -> None:
        for index, array in zip(self._inputs, inputs, strict=True):
            self._tensors[index].copyfrom(array)

    def _read(self, index: int) -> NDArray[np.generic]:
        array: NDArray[np.generic] = self._tensors[index].numpy()
        return array

    def _arguments(self, node: Node) -> list[Any]:
        return [self._tensors[index] for index in (*node.inputs, *node.outputs)]

    def _call(self, node: Node) -> None:
        arguments = self._arguments(node)
        if node.function == COPY:
            arguments[0].copyto(arguments[1])
        else:
            self._kernels[node.function](*arguments)

    def _time(self, node: Node) -> float:
        if node.function == COPY:
            self._call(node)
            return 0.0
        evaluate = self._library.time_evaluator(node.function, self._device, number=1)
        return float(evaluate(*self._arguments(node)).mean)


def first_difference(
    device: Sequence[NodeResult], reference: Sequence[NodeResult]
) -> tuple[NodeResult, NodeResult] | None:
    """The first call whose outputs are not the same bytes on both sides; None where all are.

    Raises:
        ModelError: The two ran different graphs.
    """
    if [result.node for result in device] != [result.node for result in reference]:
        raise ModelError("device and reference ran different graphs", cure="use one MLF for both")
    for ours, theirs in zip(device, reference, strict=True):
        if any(
            left.tobytes() != right.tobytes()
            for left, right in zip(ours.outputs, theirs.outputs, strict=True)
        ):
            return ours, theirs
    return None
