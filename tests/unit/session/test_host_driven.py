"""The graph executor of this machine, over a device that is a table of functions."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pytest_microtvm.mlf.graph import Entry, Graph, Node
from pytest_microtvm.session.host_driven import HostDrivenModel

SIZE = 4


class Tensor:
    """Memory of the device."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def copyfrom(self, other: Any) -> None:
        self.array[...] = other

    def numpy(self) -> Any:
        return self.array.copy()

    def _create_view(self, shape: tuple[int, ...], dtype: str, offset: int) -> Tensor:
        return Tensor(self.array[offset : offset + math.prod(shape)].view(dtype).reshape(shape))


class Library(dict[str, Any]):
    """Kernels; one that is timed runs once before, as TVM's time evaluators do."""

    def time_evaluator(self, name: str, _device: object, number: int) -> Any:
        def evaluate(*arguments: Tensor) -> Any:
            for _ in range(number + 1):
                self[name](*arguments)
            return SimpleNamespace(mean=0.5)

        return evaluate


def double(given: Tensor, made: Tensor) -> None:
    made.array[...] = given.array * 2


class Client:
    """What the model takes of an RPC client."""

    def __init__(self) -> None:
        functions = {"microtvm.model.get_constant": None, "microtvm.memory.view": lambda view: view}
        self.session = SimpleNamespace(
            device=lambda *_: "cpu",
            system_lib=lambda: Library(double=double),
            get_function=functions.__getitem__,
        )

    def allocate(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        return Tensor(np.zeros(shape, dtype))


@pytest.mark.parametrize("is_timed", [False, True])
@pytest.mark.parametrize("offset", [0, 2, SIZE])
def test_what_a_kernel_gives_is_of_its_first_run(offset: int, is_timed: bool):
    """Also where its output is in the memory of its input."""
    entries = (
        Entry((SIZE,), "int8", None),
        Entry((SIZE,), "int8", 0),
        Entry((SIZE,), "int8", offset),
        Entry((SIZE,), "int8", None),
    )
    nodes = tuple(Node(i, f"n{i}", "double", (i,), (i + 1,)) for i in range(3))
    graph = Graph(entries, nodes, {"x": 0}, (3,))
    client: Any = Client()
    model = HostDrivenModel(client, graph, 1, 2 * SIZE)
    given = np.array([1, 2, 3, 4], np.int8)
    results = model.debug([given], is_timed=is_timed)
    assert [result.outputs[0].tolist() for result in results] == [
        [factor * value for value in given] for factor in (2, 4, 8)
    ]
    assert [result.seconds for result in results] == [0.5 if is_timed else 0.0] * 3
