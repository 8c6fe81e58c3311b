"""The process of a virtual lab: started by `client.VirtualLab`, ends with it.

Its standard input is a line with the configuration (see `LabConfig`); the end of it ends the lab.
On standard output it says, in one line, where its boards are. Commands come as lines of JSON to
the control socket, each with an answer of one line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_microtvm.boards import board_from_json
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import MicroTVMError
from pytest_microtvm.process import die_with_parent
from pytest_microtvm.virtual_lab.board import VirtualBoard
from pytest_microtvm.virtual_lab.loop import Loop

CONTROL_SOCKET = "control"
COMMAND_TIMEOUT_S = 10.0

_MAX_COMMAND_BYTES = 1 << 16
_CLEAN_UP_S = 2.0


@dataclass(frozen=True)
class LabConfig:
    """What the parent sends.

    Attributes:
        boards: Names, and the definition of each as JSON.
        directory: Where ports and flash contents are.
        run_directory: For sockets; its path is short.
        parent_pid: Who must be alive.
        temporary: The folders to remove at the end: it may be dead by then.
    """

    boards: dict[str, str]
    directory: str
    run_directory: str
    parent_pid: int
    temporary: list[str]


class Server:
    """The boards of a lab, and its control socket."""

    def __init__(self, config: LabConfig) -> None:
        self._loop = Loop()
        self._resources = contextlib.ExitStack()
        self._resources.callback(self._loop.close)
        self._boards: dict[str, VirtualBoard] = {}
        self._control: socket.socket | None = None
        self._config = config

    def __enter__(self) -> Server:
        """Plug all boards in."""
        directory, run_directory = Path(self._config.directory), Path(self._config.run_directory)
        with contextlib.ExitStack() as stack:
            stack.push(self._resources)
            for name, definition in self._config.boards.items():
                sockets = run_directory / name
                sockets.mkdir()
                board = VirtualBoard(
                    name,
                    board_from_json(definition),
                    directory / name,
                    directory / f"{name}.flash",
                    sockets,
                    self._loop,
                )
                self._boards[name] = board
                stack.callback(board.close)
                board.plug()
            self._control = stack.enter_context(socket.socket(socket.AF_UNIX))
            self._control.bind(str(run_directory / CONTROL_SOCKET))
            self._control.listen()
            self._loop.watch(self._control.fileno(), self._serve)
            self._loop.watch(sys.stdin.fileno(), self._loop.stop)
            self._resources = stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._resources.close()

    def run(self) -> None:
        """Serve until standard input ends."""
        probes = {name: board.probe for name, board in self._boards.items()}
        sys.stdout.write(json.dumps({"probes": probes}) + "\n")
        sys.stdout.flush()
        self._loop.run()

    def _serve(self) -> None:
        """Take one connection, with one command."""
        assert self._control is not None
        connection, _address = self._control.accept()
        with connection, contextlib.suppress(OSError):
            connection.settimeout(COMMAND_TIMEOUT_S)
            received = b""
            while not received.endswith(b"\n") and len(received) < _MAX_COMMAND_BYTES:
                data = connection.recv(_MAX_COMMAND_BYTES)
                if not data:
                    return
                received += data
            connection.sendall(json.dumps(self._carry_out(received)).encode() + b"\n")

    def _carry_out(self, line: bytes) -> dict[str, Any]:
        try:
            command = json.loads(line)
            board = self._boards[command["board"]]
            actions: dict[str, Callable[..., object]] = {
                "plug": board.plug,
                "unplug": board.unplug,
                "power_on": board.power_on,
                "power_off": board.power_off,
                "reset": board.reset,
                "fail_power_after": board.fail_power_after,
                "status": board.status,
            }
            return {"result": actions[command["action"]](*command.get("arguments", ()))}
        except (ValueError, LookupError, TypeError) as error:
            return {"error": f"no such command: {error!r}"}
        except (MicroTVMError, OSError) as error:
            return {"error": str(error)}


def main() -> int:
    """Run the lab."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    config = LabConfig(**json.loads(_read_line(sys.stdin.fileno())))

    def clean_up() -> None:
        end = Deadline(_CLEAN_UP_S)
        for path in config.temporary:
            while os.path.exists(path) and not end.expired:  # noqa: PTH110
                shutil.rmtree(path, ignore_errors=True)  # a machine may be writing to it

    def give_up(_number: int, _frame: object) -> None:
        """End at once, and the machines with us: the next lab may be in the same folder already."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        clean_up()
        os._exit(1)

    signal.signal(signal.SIGTERM, give_up)
    die_with_parent(config.parent_pid, signal.SIGTERM)
    try:
        with Server(config) as server:
            server.run()
        clean_up()
    except (MicroTVMError, OSError) as error:
        sys.stdout.write(json.dumps({"error": str(error)}) + "\n")
        return 1
    return 0


def _read_line(fd: int) -> bytes:
    """Read up to the end of a line, and nothing beyond it."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(fd, 1)
        if not byte:
            break
        line += byte
    return line


def config_line(config: LabConfig) -> str:
    """The configuration as the server reads it."""
    return json.dumps(dataclasses.asdict(config)) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
