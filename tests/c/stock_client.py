"""TVM's own RPC client against a device, as a program: prints what it saw as JSON.

usage: python -m tests.c.stock_client PORT
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


def main(port: str) -> None:
    from tvm import rpc

    session = rpc.connect("127.0.0.1", int(port), session_timeout=0)
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
    del x, y, get_input, get_output, run, session
    sys.stdout.write(json.dumps(seen))


def error_of_lookup(session: Any) -> str:
    try:
        session.get_function("microtvm.no_such_function")
    except AttributeError as error:
        return f"AttributeError: {error}"
    return "no error"


def error_of_allocation(session: Any) -> str:
    import tvm

    return error_of(lambda: tvm.runtime.empty((4,), "float32", session.cpu(0)))


if __name__ == "__main__":
    main(*sys.argv[1:])
