"""TVM's own RPC tracker, as a program that dies with the test: prints its port and serves.

usage: python -m tests.command.rpc_tracker PARENT_PID
"""

from __future__ import annotations

import sys


def main(parent_pid: str) -> None:
    from pytest_microtvm.process import die_with_parent

    die_with_parent(int(parent_pid))
    from tvm.rpc.tracker import PopenTrackerServerState

    state = PopenTrackerServerState("127.0.0.1", 19300, 19400, silent=True)
    sys.stdout.write(f"{state.port}\n")
    sys.stdout.flush()
    state.thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
