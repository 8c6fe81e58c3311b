"""TVM's own RPC client against a device, as a program: prints what it saw as JSON.

usage: python -m tests.c.stock_client PORT model|kernels
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def error_of(function: Callable[..., Any], *arguments: object) -> str:
    """What a remote function raises."""
    from tvm.error import RPCError

    try:
        function(*arguments)
    except RPCError as error:
        return str(error)
    return "no error"


def main(port: str, what: str) -> None:
    from tvm import rpc

    session = rpc.connect("127.0.0.1", int(port), session_timeout=0)
    seen = use_model(session) if what == "model" else use_kernels(session)
    del session
    sys.stdout.write(json.dumps(seen))


def use_kernels(session: Any) -> dict[str, Any]:
    """A device that the host drives: memory, kernels by name, measurements."""
    import tvm

    device = session.cpu(0)
    library = session.system_lib()
    twice, add = library.get_function("toy_twice"), library["toy_add"]
    one = session.get_function("microtvm.model.get_constant")("one")
    values = np.arange(4096, dtype="float32").reshape(64, 64)
    x = tvm.runtime.tensor(values, device)
    y, z = (tvm.runtime.empty((64, 64), "float32", device) for _ in range(2))
    twice(x, y)
    add(y, one, z)
    result = z.numpy()
    z.copyto(y)
    evaluator = library.time_evaluator("toy_add", device, number=2, repeat=5, min_repeat_ms=1)
    times = evaluator(x, one, z)
    arena = tvm.runtime.empty((8, 64, 64), "uint8", device)
    view = session.get_function("microtvm.memory.view")
    part = view(arena._create_view((64, 64), "float32", 4096 * 4))
    part.copyfrom(values)
    first = view(arena._create_view((4,), "uint8", 0))
    seen = {
        "executor": session.get_function("microtvm.executor")(),
        "correct": bool((result == 2 * values + 1).all()),
        "copied": bool((y.numpy() == result).all()),
        "one": one.numpy().tolist(),
        "measured": bool((z.numpy() == values + 1).all()),
        "times": [*times.results],
        "view": bool((part.numpy() == values).all()),
        "whole": bool(
            (arena.numpy().reshape(-1)[4096 * 4 :].view("float32") == values.ravel()).all()
        ),
        "first": list(first.shape),
        "no_kernel": error_of_lookup(library),
        "too_small": error_of(twice, x, first),
        "too_much": error_of(lambda: tvm.runtime.empty((1 << 20,), "float32", device)),
        "constant": error_of(lambda: one.copyfrom(np.float32(2.0))),
    }
    del x, y, z, arena, part, first
    seen["again"] = list(tvm.runtime.empty((3, 64, 64), "float32", device).shape)  # was all freed
    return seen


def use_model(session: Any) -> dict[str, Any]:
    """A device with an executor."""
    get_input = session.get_function("microtvm.model.get_input")
    get_output = session.get_function("microtvm.model.get_output")
    run = session.get_function("microtvm.model.run")
    x, y = get_input(0), get_output(0)
    values = np.arange(4096, dtype="float32").reshape(64, 64)
    x.copyfrom(values)
    seconds = run()
    result = y.numpy()
    session.cpu(0).sync()
    seen = {
        "build_id": session.get_function("microtvm.build_id")(),
        "max_packet": session.get_function("tvm.rpc.server.GetCRTMaxPacketSize")(),
        "shape": list(x.shape),
        "dtype": str(x.dtype),
        "seconds": seconds,
        "correct": bool((result == 2 * values + 1).all()),
        "input_kept": bool((x.numpy() == values).all()),
        "bad_index": error_of(get_input, 1),
        "negative_index": error_of(get_output, -1),
        "wrong_type": error_of(get_input, "x"),
        "no_argument": error_of(get_input),
        "unknown": error_of_lookup(session),
        "allocation": error_of_allocation(session),
        "after_errors": float(get_output(0).numpy()[0, 1]),
    }
    x.copyfrom(np.full((64, 64), np.nan, dtype="float32"))
    seen["failed_run"] = error_of(run)
    timer = session._sess.time_evaluator("microtvm.model.run", session.cpu(0), number=3)
    x.copyfrom(values)
    seen["mean"] = float(timer().mean)
    return seen


def error_of_lookup(module: Any) -> str:
    """What looking for a function that is not there raises."""
    try:
        module.get_function("microtvm.no_such_function")
    except AttributeError as error:
        return f"AttributeError: {error}"
    return "no error"


def error_of_allocation(session: Any) -> str:
    import tvm

    return error_of(lambda: tvm.runtime.empty((4,), "float32", session.cpu(0)))


if __name__ == "__main__":
    main(*sys.argv[1:])
