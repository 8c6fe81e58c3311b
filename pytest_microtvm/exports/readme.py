"""README.md and model.json of an export."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pytest_microtvm.exports.contents import AOT, GRAPH, NONE, RPC, Contents
from pytest_microtvm.mlf.library import TensorSpec
from pytest_microtvm.project.server.interface import InterfaceTensor
from pytest_microtvm.version import __version__

_ABOUT_RUNTIME = {
    NONE: "The model's own functions, without a runtime.",
    AOT: "With the runtime's executor `aot` (`microtvm/aot_executor.h`), which gives the model its "
    "memory.",
    GRAPH: "With the runtime's executor `graph` (`microtvm/graph_executor.h`), which walks the "
    "model's graph.",
    RPC: "With the whole runtime and its RPC server (`microtvm/rpc_server.h`): a test run of "
    "pytest-microtvm can reach the model.",
}


def readme(contents: Contents, use: str, tree: str) -> bytes:
    """The text of README.md.

    Args:
        contents: What is exported.
        use: How it is taken into a project, in Markdown.
        tree: How far the format was proved, in a sentence.
    """
    library, interface = contents.library, contents.interface
    lines = [
        f"# {contents.name} {contents.version}",
        "",
        f"{contents.description}.",
        f"{_ABOUT_RUNTIME[contents.runtime]} Do not edit: export the model again.",
        "",
        "## Use",
        "",
        use.strip(),
        "",
        "## Tensors",
        "",
        "Row-major. Where there is a scale, real number = scale * (element - zero point).",
        "",
        "| | member | element | shape | bytes | scale | zero point |",
        "| --- | --- | --- | --- | ---: | ---: | ---: |",
        *_rows("input", interface.inputs, library.inputs),
        *_rows("output", interface.outputs, library.outputs),
        "",
        "## Memory",
        "",
        "| what | bytes |",
        "| --- | ---: |",
        *(f"| pool `{pool.name}` | {pool.size_bytes} |" for pool in interface.pools),
        f"| constants | {library.constants_bytes} |",
    ]
    if contents.stack is not None:
        lines += [
            f"| stack of a run | {contents.stack.run_bytes} |",
            "",
            f"The stack is by `-fstack-usage` of {contents.stack.compiler};",
            f"`{contents.name}_stack.h` has it for each kernel.",
        ]
    lines += [
        "",
        "Memory is aligned to 16 bytes. The code is C99 and C++11, needs `memcpy` and functions of "
        "`<math.h>`,",
        "and takes nothing from a heap. `model.json` says all of this to programs.",
        "",
        tree,
        "",
        "## License",
        "",
        "Apache-2.0, see LICENSE: the generated code, the runtime and the examples.",
        "",
    ]
    return "\n".join(lines).encode()


def _rows(kind: str, tensors: Sequence[InterfaceTensor], specs: Sequence[TensorSpec]) -> list[str]:
    rows = []
    for tensor, spec in zip(tensors, specs, strict=True):
        scale = "" if tensor.scale is None else f"{tensor.scale:.9g}"
        zero_point = "" if tensor.scale is None else str(tensor.zero_point)
        shape = "x".join(map(str, tensor.shape)) or "scalar"
        rows.append(
            f"| {kind} | `{tensor.c_name}` | {tensor.dtype} | {shape} | {spec.size_bytes} | "
            f"{scale} | {zero_point} |"
        )
    return rows


def model_json(contents: Contents, format_name: str) -> bytes:
    """The text of model.json: what README.md says, for programs."""
    library, interface, stack = contents.library, contents.interface, contents.stack
    document: dict[str, Any] = {
        "name": library.name,
        "version": contents.version,
        "format": format_name,
        "runtime": contents.runtime,
        "generator": f"pytest-microtvm {__version__}",
        "license": "Apache-2.0",
        "model": dict(contents.module.get("model", {})),
        "inputs": _tensors(interface.inputs, library.inputs),
        "outputs": _tensors(interface.outputs, library.outputs),
        "pools": {pool.name: pool.size_bytes for pool in interface.pools},
        "constants_bytes": library.constants_bytes,
    }
    if stack is not None:
        document["stack"] = {
            "compiler": stack.compiler,
            "run_bytes": stack.run_bytes,
            "kernels": dict(stack.kernels),
        }
    return (json.dumps(document, indent=2) + "\n").encode()


def _tensors(
    tensors: Sequence[InterfaceTensor], specs: Sequence[TensorSpec]
) -> list[dict[str, Any]]:
    entries = []
    for tensor, spec in zip(tensors, specs, strict=True):
        entry: dict[str, Any] = {
            "name": tensor.name,
            "c_name": tensor.c_name,
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "bytes": spec.size_bytes,
        }
        if tensor.scale is not None:
            entry |= {"scale": tensor.scale, "zero_point": tensor.zero_point}
        entries.append(entry)
    return entries
