"""Writes the seeds from which fuzzing starts: sound sessions and graphs.

usage: python -m tests.c.fuzz.seeds DIRECTORY      makes DIRECTORY/server and DIRECTORY/graph
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_microtvm.session.wire.framing import encode
from pytest_microtvm.session.wire.rpc import RpcCode
from tests.c.values import (
    DEVICE,
    NONE,
    TensorView,
    handle,
    integer,
    module,
    raw_string,
    sequence,
)

INPUT, OUTPUT, WORKSPACE, POOL, CONSTANT = range(5)
SHAPE = (4, 4)
FUNCTION, KERNEL, TIME_EVALUATOR, MODULE = (kind << 16 for kind in (1, 2, 3, 4))
ALL_FLAGS = range(8)
SEQUENCES = 200
"""How many of those of `sequences` fuzzing starts from."""


def address(region: int, offset: int = 0) -> int:
    """What the harness replaces by an address."""
    return int.from_bytes(b"@R" + bytes((region, offset, 0, 0, 0, 0)), "little")


def view(region: int, shape: tuple[int, ...] = SHAPE, offset: int = 0) -> bytes:
    """A tensor as a value."""
    return struct.pack("<i", 7) + TensorView(address(region, offset), shape).pack()


def packet(code: int, body: bytes) -> bytes:
    """A record of the harness."""
    content = struct.pack("<i", code) + body
    return bytes((0, len(content))) + content


def call(function: int, *arguments: bytes) -> bytes:
    return packet(RpcCode.CALL_FUNCTION, struct.pack("<Q", function) + sequence(*arguments))


def sessions() -> Iterator[bytes]:
    """What a host might send in a session."""
    none = struct.pack("<i", NONE)
    cpu = struct.pack("<iii", DEVICE, 1, 0)
    yield b"".join(call(FUNCTION + index) for index in range(13))
    yield call(FUNCTION + 2, integer(0)) + call(FUNCTION + 3, integer(0)) + call(FUNCTION + 4)
    yield call(FUNCTION + 5, raw_string("one")) + call(FUNCTION + 7, view(INPUT))
    yield call(FUNCTION + 9, module(MODULE), raw_string("copy"), struct.pack("<iq", 2, 1))
    yield call(KERNEL, view(INPUT), view(OUTPUT))
    yield call(KERNEL + 1, view(INPUT), view(CONSTANT, ()), view(OUTPUT))
    yield call(KERNEL + 2, view(INPUT), view(OUTPUT, (8,)), view(OUTPUT, (8,), 32))
    settings = [integer(value) for value in (1, 0, 2, 3, 1, 10, 0, 1, 0)]
    evaluate = FUNCTION + 11
    yield (
        call(evaluate, module(MODULE), raw_string("copy"), *settings, raw_string(""))
        + call(TIME_EVALUATOR, view(INPUT), view(OUTPUT))
        + packet(RpcCode.FREE_HANDLE, sequence(handle(TIME_EVALUATOR)))
    )
    yield (
        call(evaluate, none, raw_string("microtvm.model.run"), *settings, raw_string(""))
        + call(TIME_EVALUATOR)
    )
    tensor = struct.pack("<i", 7) + TensorView(0, SHAPE).pack()
    yield (
        packet(RpcCode.ALLOCATE_WITH_SCOPE, sequence(tensor, none))
        + packet(RpcCode.ALLOCATE, sequence(cpu, integer(80), integer(64), bytes(12)))
        + call(KERNEL, view(POOL, SHAPE, 16), view(POOL, SHAPE, 96))
        + packet(RpcCode.COPY_AMONG_REMOTE, sequence(view(POOL, SHAPE, 16), view(OUTPUT), none))
        + packet(RpcCode.FREE, sequence(cpu, handle(address(POOL, 16))))
        + packet(RpcCode.FREE, sequence(cpu, handle(address(POOL, 96))))
    )
    yield (
        packet(
            RpcCode.COPY_TO_REMOTE,
            TensorView(address(INPUT), SHAPE).pack() + struct.pack("<Q", 64) + bytes(range(64)),
        )
        + packet(
            RpcCode.COPY_FROM_REMOTE,
            TensorView(address(INPUT), SHAPE).pack() + struct.pack("<Q", 64),
        )
    )
    yield packet(RpcCode.GET_GLOBAL_FUNCTION, sequence(raw_string("microtvm.build_id")))
    yield packet(RpcCode.STREAM_SYNC, sequence(cpu, handle(0))) + packet(RpcCode.SHUTDOWN, b"")
    start = struct.pack("<HBBB", 7, 0, 1, 1)
    yield bytes((1, len(start))) + start
    frame = encode(struct.pack("<HBB", 7, 0, 1))
    yield bytes((3, len(frame))) + frame + bytes((3, 7)) + frame[:7]


def graph() -> dict[str, Any]:
    """Two inputs to a sum that is copied twice."""
    nodes: list[dict[str, Any]] = [
        {"op": "null", "name": name, "inputs": []} for name in ("x", "one")
    ]
    calls = [("copy", [[0, 0, 0]]), ("add", [[2, 0, 0], [1, 0, 0]]), ("__copy", [[3, 0, 0]])]
    for name, inputs in calls:
        attrs = {
            "func_name": name,
            "num_inputs": str(len(inputs)),
            "num_outputs": "1",
            "flatten_data": "0",
            **({"workspace_offset": "64"} if name == "copy" else {}),
        }
        nodes.append({"op": "tvm_op", "name": name, "attrs": attrs, "inputs": inputs})
    return {
        "nodes": nodes,
        "arg_nodes": [0, 1],
        "heads": [[4, 0, 0]],
        "attrs": {
            "dltype": ["list_str", ["float32"] * 5],
            "shape": ["list_shape", [[4, 4], [], [4, 4], [4, 4], [4, 4]]],
            "storage_id": ["list_int", [0, 1, 2, 3, 4]],
            "storage_offset": ["list_int", [-1, -1, 0, 128, -1]],
        },
        "node_row_ptr": [0, 1, 2, 3, 4, 5],
    }


def graphs() -> Iterator[bytes]:
    """Graphs behind their numbers of nodes and entries."""
    sizes = bytes((5, 5))
    yield sizes + json.dumps(graph()).encode()
    yield sizes + json.dumps(graph(), indent=1).encode()
    split = graph()
    split["nodes"][2]["attrs"].update(func_name="split", num_outputs="2")
    yield sizes + json.dumps(split).encode()
    yield sizes + json.dumps(graph()).replace("copy", "\\u0063opy\\/\\ud83d\\ude00").encode()
    yield sizes + b"[" * 40 + b"]" * 40


def main(directory: str) -> None:
    from tests.c.fuzz import sequences  # which is made of what is above

    contents = {
        "server": [bytes((flags,)) + each for each in sessions() for flags in ALL_FLAGS],
        "graph": list(graphs()),
    }
    contents["server"] += sequences.sessions(0, SEQUENCES)
    contents["graph"] += sequences.evil_graphs(0, SEQUENCES)
    for name, inputs in contents.items():
        target = Path(directory) / name
        target.mkdir(parents=True, exist_ok=True)
        for index, content in enumerate(inputs):
            (target / f"seed_{index:03}").write_bytes(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
