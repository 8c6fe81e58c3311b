"""Starts a virtual lab, and moves its switches and cables."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import filelock

from pytest_microtvm.boards import Board
from pytest_microtvm.errors import ConfigError, LeaseError, MicroTVMError
from pytest_microtvm.process import kill_group, package_environment
from pytest_microtvm.virtual_lab.machine import check_board
from pytest_microtvm.virtual_lab.server import (
    COMMAND_TIMEOUT_S,
    CONTROL_SOCKET,
    LabConfig,
    config_line,
)

LAB_FILE = "microtvm-lab.toml"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0


class VirtualLab:
    """A lab of virtual boards, as a context manager.

    Args:
        boards: Definitions by the names of the boards; several may have the same one.
        directory: Where ports, flash contents and the lab file are. Flash contents stay there for
            the next lab; None for a temporary folder.

    Attributes:
        directory: That folder, once the lab is open.
        probes: The address of each board's gdb server, by its name.
    """

    directory: Path
    probes: dict[str, str]

    def __init__(self, boards: Mapping[str, Board], directory: Path | None = None) -> None:
        self._definitions = dict(boards)
        self._given_directory = directory
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> VirtualLab:
        self.open()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def lab_file(self) -> Path:
        """The lab file that names the boards."""
        return self.directory / LAB_FILE

    def __getitem__(self, name: str) -> BoardSwitches:
        """A board by its name."""
        if name not in self._definitions:
            raise KeyError(name)
        return BoardSwitches(self._run_directory / CONTROL_SOCKET, name, self.directory / name)

    def open(self) -> None:
        """Start the boards, and write the lab file.

        Raises:
            ConfigError: There cannot be a virtual board of that kind, or the folder cannot be used.
            LeaseError: Another lab uses the folder.
            MicroTVMError: The boards do not start.
        """
        for board in self._definitions.values():
            check_board(board)
        with contextlib.ExitStack() as stack:
            self.directory = self._prepare_directory(stack)
            # The paths of sockets must not be long.
            self._run_directory = Path(tempfile.mkdtemp(prefix="microtvm-lab-"))
            stack.callback(shutil.rmtree, self._run_directory, ignore_errors=True)
            self._start(stack)
            self.lab_file.write_text(self._lab_text(), encoding="utf-8")
            stack.callback(self.lab_file.unlink, missing_ok=True)
            self._resources = stack.pop_all()

    def close(self) -> None:
        """End every process of the lab. May be called again."""
        self._resources.close()

    def _prepare_directory(self, stack: contextlib.ExitStack) -> Path:
        if self._given_directory is None:
            temporary = tempfile.TemporaryDirectory(prefix="microtvm-lab-")
            return Path(stack.enter_context(temporary)).absolute()
        directory = self._given_directory.absolute()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(directory / "lock")
            stack.enter_context(lock.acquire(timeout=0))
        except filelock.Timeout as error:
            raise LeaseError(
                f"another virtual lab uses {directory}", cure="end it, or name another folder"
            ) from error
        except OSError as error:
            raise ConfigError(
                f"the folder {directory} cannot be used: {error.strerror}",
                cure="name another folder",
            ) from error
        return directory

    def _start(self, stack: contextlib.ExitStack) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest_microtvm.virtual_lab.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=package_environment(),
            text=True,
            start_new_session=True,
        )
        stack.callback(_stop, process)
        config = LabConfig(
            boards={name: board.to_json() for name, board in self._definitions.items()},
            directory=str(self.directory),
            run_directory=str(self._run_directory),
            parent_pid=os.getpid(),
            temporary=[
                str(self._run_directory),
                *([str(self.directory)] if self._given_directory is None else ()),
            ],
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(config_line(config))
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_S)
        line = process.stdout.readline() if ready else ""
        answer: dict[str, Any] = (
            json.loads(line) if line else {"error": "its process does not answer"}
        )
        if "error" in answer:
            raise MicroTVMError(f"the virtual lab does not start: {answer['error']}")
        self.probes = answer["probes"]

    def _lab_text(self) -> str:
        lines = ["# A virtual lab; gone when it ends."]
        for name, board in self._definitions.items():
            switch = [sys.executable, "-m", "pytest_microtvm.virtual_lab.switch"]
            switch += [str(self._run_directory / CONTROL_SOCKET), name]
            values: dict[str, object] = {
                "name": name,
                "kind": board.name,
                "port": str(self.directory / name),
                "probe": self.probes[name],
                "power_off": [*switch, "power_off"],
                "power_on": [*switch, "power_on"],
                "notes": "virtual",
            }
            # JSON's strings and lists are TOML's, too.
            lines += ["", "[[board]]", *(f"{k} = {json.dumps(v)}" for k, v in values.items())]
        return "\n".join(lines) + "\n"


class BoardSwitches:
    """What a hand can do to a virtual board.

    Args:
        control: The lab's control socket.
        name: The board's name.
        port: Its serial port.
    """

    def __init__(self, control: Path, name: str, port: Path) -> None:
        self.control = control
        self.name = name
        self.port = port

    @property
    def flashed(self) -> int:
        """How many times a debugger has written to it."""
        return int(self.command("status")["flashed"])

    def plug(self) -> None:
        """Plug its cable in."""
        self.command("plug")

    def unplug(self) -> None:
        """Pull its cable."""
        self.command("unplug")

    def power_on(self) -> None:
        """Switch its power on."""
        self.command("power_on")

    def power_off(self) -> None:
        """Switch its power off."""
        self.command("power_off")

    def reset(self) -> None:
        """Press its reset button."""
        self.command("reset")

    def fail_power_after(self, writes: int) -> None:
        """Have its power fail while it is flashed, after so many writes of the debugger."""
        self.command("fail_power_after", writes)

    def command(self, action: str, *arguments: object) -> Any:
        """Have the lab do something.

        Raises:
            MicroTVMError: It cannot, or is gone.
        """
        request = {"board": self.name, "action": action, "arguments": arguments}
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(COMMAND_TIMEOUT_S)
                connection.connect(str(self.control))
                connection.sendall(json.dumps(request).encode() + b"\n")
                with connection.makefile("rb") as file:
                    answer = json.loads(file.readline() or b'{"error": "it is gone"}')
        except OSError as error:
            raise MicroTVMError(f"the virtual lab does not answer: {error}") from error
        if "error" in answer:
            raise MicroTVMError(f"the virtual lab: {answer['error']}", board=self.name)
        return answer["result"]


def _stop(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT_S)
    kill_group(process)
    process.stdout.close()
