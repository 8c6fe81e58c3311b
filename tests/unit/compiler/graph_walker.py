"""A graph executor in Python: walks the JSON of an archive and calls its kernels via ctypes."""

from __future__ import annotations

import ctypes
import json
import math
from typing import Any

import numpy as np

from tests.unit.compiler.native import Array, NativeModel, aligned, guarded, is_untouched

Call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)


class TensorInfo(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("size_bytes", ctypes.c_uint32),
        ("ndim", ctypes.c_uint8),
        ("dtype_code", ctypes.c_uint8),
        ("dtype_bits", ctypes.c_uint8),
        ("shape", ctypes.POINTER(ctypes.c_int32)),
    )


class Kernel(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("num_args", ctypes.c_uint8),
        ("num_outputs", ctypes.c_uint8),
        ("workspace_bytes", ctypes.c_uint32),
        ("call", Call),
        ("arg_bytes", ctypes.POINTER(ctypes.c_uint32)),
    )


class Constant(ctypes.Structure):
    _fields_ = (("info", TensorInfo), ("data", ctypes.c_void_p))


class Description(ctypes.Structure):
    """MicroTVMGraph, as in microtvm/model.h."""

    _fields_ = (
        ("json", ctypes.c_void_p),
        ("json_bytes", ctypes.c_uint32),
        ("num_nodes", ctypes.c_uint32),
        ("num_entries", ctypes.c_uint32),
        ("num_storages", ctypes.c_uint32),
        ("num_kernels", ctypes.c_uint32),
        ("kernels", ctypes.POINTER(Kernel)),
        ("num_constants", ctypes.c_uint32),
        ("constants", ctypes.POINTER(Constant)),
    )


class GraphWalker:
    """The graph of a model that was built for the host.

    Args:
        model: The model.
    """

    def __init__(self, model: NativeModel) -> None:
        self._library = model.library
        self.text = model.file(f"executor-config/graph/{model.library.name}.graph").decode()
        self.document: dict[str, Any] = json.loads(self.text)
        self.description: Description = model.symbol(
            Description, f"tvmgen_{model.library.name}_graph"
        )
        self.kernels = {
            kernel.name.decode(): kernel
            for kernel in self.description.kernels[: self.description.num_kernels]
        }
        self.constants = {
            constant.info.name.decode(): constant
            for constant in self.description.constants[: self.description.num_constants]
        }

    def attribute(self, name: str) -> list[Any]:
        """The values of a list in the graph's attributes."""
        kind, values = self.document["attrs"][name]
        assert kind.startswith("list_")
        return list(values)

    def entry(self, reference: list[int]) -> int:
        """The entry that a reference means."""
        node, output, version = reference
        assert version == 0
        first = self.document["node_row_ptr"]
        assert first[node] + output < first[node + 1]
        return int(first[node] + output)

    def size_bytes(self, entry: int) -> int:
        """The size of an entry."""
        shape, dtype = self.attribute("shape")[entry], self.attribute("dltype")[entry]
        return math.prod(shape) * np.dtype(dtype).itemsize

    def arguments(self, index: int) -> list[int]:
        """Entries that a node takes and gives, in this order."""
        node = self.document["nodes"][index]
        first = self.document["node_row_ptr"]
        inputs = [self.entry(reference) for reference in node["inputs"]]
        return [*inputs, *range(first[index], first[index + 1])]

    def __call__(self, *inputs: Array) -> list[Array]:
        """Run once; inputs in the model's order. Checks that nothing else is written."""
        library, document = self._library, self.document
        given = [aligned(spec, array) for spec, array in zip(library.inputs, inputs, strict=True)]
        results = [aligned(spec, None) for spec in library.outputs]
        workspace, arena = guarded(library.workspace_bytes)
        addresses = {
            entry: arena + offset
            for entry, offset in enumerate(self.attribute("storage_offset"))
            if offset >= 0
        }
        for position, node in enumerate(document["arg_nodes"]):
            name = document["nodes"][node]["name"]
            if position < len(given):
                addresses[self.entry([node, 0, 0])] = given[position].ctypes.data
            else:
                addresses[self.entry([node, 0, 0])] = self.constants[name].data
        for reference, result in zip(document["heads"], results, strict=True):
            assert self.entry(reference) not in addresses
            addresses[self.entry(reference)] = result.ctypes.data
        for index, node in enumerate(document["nodes"]):
            if node["op"] == "tvm_op":
                self._call(node, self.arguments(index), addresses, arena)
        assert is_untouched(workspace)
        for array, before in zip(given, inputs, strict=True):
            np.testing.assert_array_equal(array, before, err_msg="an input was written")
        return results

    def _call(
        self, node: dict[str, Any], entries: list[int], addresses: dict[int, int], arena: int
    ) -> None:
        attributes = node["attrs"]
        if attributes["func_name"] == "__copy":
            source, target = entries
            assert self.size_bytes(source) == self.size_bytes(target)
            ctypes.memmove(addresses[target], addresses[source], self.size_bytes(target))
            return
        kernel = self.kernels[attributes["func_name"]]
        offset = attributes.get("workspace_offset")
        assert (offset is not None) == (kernel.workspace_bytes > 0)
        pointers = (ctypes.c_void_p * len(entries))(*(addresses[entry] for entry in entries))
        assert kernel.call(pointers, None if offset is None else arena + int(offset)) == 0
