"""A model on an open device: run by an executor there, or by this machine kernel by kernel."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pytest_microtvm.errors import ProtocolError
from pytest_microtvm.mlf.graph import parse_graph
from pytest_microtvm.mlf.library import ModelLibrary, TensorSpec, read_graph
from pytest_microtvm.session.host_driven import HostDrivenModel, NodeResult
from pytest_microtvm.session.rpc import RpcClient

REBUILD = "build and flash it again, for example with --microtvm-no-cache"

Guard = Callable[..., Any]


class DeviceModel(Protocol):
    """A model on an open device."""

    def reset(self) -> None:
        """Give the states their initial values."""

    def run(self, inputs: list[NDArray[np.generic]]) -> tuple[list[NDArray[np.generic]], float]:
        """Give the outputs, in the model's order, and the seconds that it took."""


class OnDevice:
    """The executor is on the device: `aot` and `graph`."""

    def __init__(self, client: RpcClient, library: ModelLibrary, guard: Guard) -> None:
        self._client = client
        self._library = library
        self._guard = guard
        self._inputs = self._tensors("microtvm.model.get_input", library.inputs)
        self._outputs = self._tensors("microtvm.model.get_output", library.outputs)

    def reset(self) -> None:
        """See `DeviceModel`."""
        self._guard("call microtvm.model.reset", self._client.call, "microtvm.model.reset")

    def run(self, inputs: list[NDArray[np.generic]]) -> tuple[list[NDArray[np.generic]], float]:
        """See `DeviceModel`."""
        for spec, tensor, array in zip(self._library.inputs, self._inputs, inputs, strict=True):
            self._guard(f"write {spec.name}", self._client.copy_to, tensor, array)
        name = "microtvm.model.run"
        seconds = self._guard(f"call {name}", self._client.call, name)
        if not isinstance(seconds, float):
            raise ProtocolError(
                f"the device answered a call of {name} with {seconds!r}, not with seconds",
                cure=REBUILD,
            )
        outputs = []
        for spec, tensor in zip(self._library.outputs, self._outputs, strict=True):
            output: NDArray[np.generic] = np.empty(spec.shape, np.dtype(spec.dtype))
            self._guard(f"read {spec.name}", self._client.copy_from, tensor, output)
            outputs.append(output)
        return outputs, seconds

    def _tensors(self, name: str, specs: Sequence[TensorSpec]) -> list[Any]:
        tensors = []
        for index, spec in enumerate(specs):
            tensor = self._guard(f"call {name}", self._client.call, name, index)
            found = (tuple(getattr(tensor, "shape", ())), str(getattr(tensor, "dtype", "")))
            if found != (spec.shape, spec.dtype):
                raise ProtocolError(
                    f"the device answered a call of {name}({index}) with a tensor of "
                    f"{found[1] or 'no type'} {found[0]}; {spec.name} is {spec.dtype} {spec.shape}",
                    cure=REBUILD,
                )
            tensors.append(tensor)
        return tensors


class HostDriven:
    """The executor is on this machine: `host_driven`."""

    def __init__(self, client: RpcClient, library: ModelLibrary, guard: Guard) -> None:
        self._client = client
        self._guard = guard
        graph = parse_graph(read_graph(library))
        self._model: HostDrivenModel = guard(
            "open",
            client.use,
            HostDrivenModel,
            client,
            graph,
            len(library.inputs),
            library.workspace_bytes,
            [state.initial for state in library.states],
        )

    def reset(self) -> None:
        """See `DeviceModel`."""
        self._guard("reset the model", self._client.use, self._model.reset)

    def run(self, inputs: list[NDArray[np.generic]]) -> tuple[list[NDArray[np.generic]], float]:
        """See `DeviceModel`."""
        start = time.monotonic()
        outputs = self._guard("run the graph", self._client.use, self._model.run, inputs)
        return outputs, time.monotonic() - start

    def debug(self, inputs: list[NDArray[np.generic]], is_timed: bool) -> list[NodeResult]:
        """Run once, kernel by kernel."""
        results: list[NodeResult] = self._guard(
            "run the graph", self._client.use, partial(self._model.debug, is_timed=is_timed), inputs
        )
        return results
