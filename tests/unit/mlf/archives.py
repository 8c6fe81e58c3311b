"""Archives that are made by hand, for tests of what is read from them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_microtvm.mlf.library import (
    VERSION,
    write_library,
)

TENSOR = {"size": 8, "dtype": "float32", "shape": [1, 2], "c_name": "x_0", "macro": "M"}
METADATA: dict[str, Any] = {
    "version": VERSION,
    "modules": {
        "net": {
            "model_name": "net",
            "executors": ["aot"],
            "memory": {
                "functions": {
                    "main": [
                        {
                            "workspace_size_bytes": 96,
                            "constants_size_bytes": 40,
                            "io_size_bytes": 10,
                            "inputs": {"x:0": TENSOR},
                            "outputs": {
                                "y": {"size": 2, "dtype": "int8", "shape": [2], "c_name": "y"}
                            },
                        }
                    ]
                }
            },
        }
    },
}
CODE = {
    "codegen/host/include/tvmgen_net.h": b"/* header */\n",
    "codegen/host/src/net_model.c": b"/* model */\n",
}
GRAPH: dict[str, Any] = {
    "nodes": [
        {"op": "null", "name": "x:0", "inputs": []},
        {"op": "null", "name": "p0", "inputs": []},
        {
            "op": "tvm_op",
            "name": "add",
            "attrs": {
                "func_name": "tvmgen_net_add",
                "num_inputs": "2",
                "num_outputs": "2",
                "flatten_data": "0",
                "workspace_offset": "32",
            },
            "inputs": [[0, 0, 0], [1, 0, 0]],
        },
        {
            "op": "tvm_op",
            "name": "copy",
            "attrs": {"func_name": "__copy", "num_inputs": "1", "num_outputs": "1"},
            "inputs": [[2, 1, 0]],
        },
    ],
    "arg_nodes": [0, 1],
    "heads": [[3, 0, 0]],
    "attrs": {
        "dltype": ["list_str", ["float32", "float32", "float32", "int8", "int8"]],
        "shape": ["list_shape", [[1, 2], [], [8], [2], [2]]],
        "storage_id": ["list_int", [0, 1, 2, 3, 4]],
        "storage_offset": ["list_int", [-1, -1, 0, 80, -1]],
    },
    "node_row_ptr": [0, 1, 2, 4, 5],
}
GRAPH_COUNTS = {"nodes": 4, "entries": 5, "steps": 2, "arguments": 6}


def files(metadata: Any = METADATA) -> dict[str, bytes]:
    return {"metadata.json": json.dumps(metadata).encode(), **CODE}


def packed(path: Path, contents: dict[str, bytes] | None = None) -> Path:
    write_library(path, files() if contents is None else contents)
    return path


def altered(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    metadata = copy.deepcopy(METADATA)
    change(metadata)
    return metadata


def main_of(metadata: dict[str, Any]) -> dict[str, Any]:
    main: dict[str, Any] = metadata["modules"]["net"]["memory"]["functions"]["main"][0]
    return main


def kernel(**changes: Any) -> dict[str, Any]:
    return {"function_name": "k", "workspace": [{"workspace_size_bytes": 64}], **changes}


def kernels(*entries: Any) -> Callable[[dict[str, Any]], None]:
    return lambda metadata: metadata["modules"]["net"]["memory"]["functions"].update(
        operator_functions=list(entries)
    )
