"""An open device: tensors in, tensors out, and the time by the device's own clock."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_microtvm import errors
from pytest_microtvm.errors import (
    MicroTVMError,
    ProtocolError,
    TargetError,
    TransportClosed,
    TransportTimeout,
)
from pytest_microtvm.process import kill_group, package_environment
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.rpc import RpcClient, RpcError, load_runtime

CLOSE_TIMEOUT_S = 5.0
REPORT_GRACE_S = 1.0
"""How long to wait for the bridge to say why it closed the connection."""
LOG_LINES = 1000


class Session:
    """A session with one device that runs one firmware.

    Use it as a context manager, or call `open()` and `close()`.

    Args:
        firmware: What the device runs, and how to reach it.
        timeout_s: For opening, and for the answer to each call.
        on_log: Told each line that the device logs, when the session next touches the device.
    """

    def __init__(
        self,
        firmware: Firmware,
        timeout_s: float = 60.0,
        on_log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.firmware = firmware
        self.timeout_s = timeout_s
        self.open_s = 0.0
        self.latency_s: float | None = None
        self.samples = 0
        self.on_log = on_log
        self._bridge: subprocess.Popen[str] | None = None
        self._client: RpcClient | None = None
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._ports: queue.Queue[int | None] = queue.Queue()
        self._logs: deque[str] = deque(maxlen=LOG_LINES)
        self._error: MicroTVMError | None = None
        self._interrupted = False
        self._events: threading.Thread | None = None

    def __enter__(self) -> Session:
        self.open()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def board(self) -> str:
        """The board's name."""
        return self.firmware.board.name

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return self._client is not None and self._error is None

    def open(self) -> None:
        """Start the device, its link and the RPC client, and make sure it runs this firmware.

        Raises:
            TransportError: The device did not start or answer.
            ProtocolError: It runs other firmware.
        """
        start = time.monotonic()
        try:
            key = secrets.token_hex(16)
            self._start_bridge(key)
            load_runtime()  # while the device boots
            port = self._await_port()
            self._client = self._guard("open", RpcClient, port, key)
            self._check_build_id()
            library = self.firmware.library
            for kind, specs, tensors in (
                ("input", library.inputs, self._inputs),
                ("output", library.outputs, self._outputs),
            ):
                for index in range(len(specs)):
                    tensors.append(self._call(f"microtvm.aot.get_{kind}", index))
        except BaseException:
            self.close()
            raise
        self.open_s = time.monotonic() - start
        self.flush_log()

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Run the model once.

        Args:
            inputs: One array per input, of its exact shape and dtype (see `check_inputs`).

        Returns:
            One array per output, by name. `latency_s` then holds the fastest run so far.

        Raises:
            TransportError: The link broke, or the device did not answer in time.
            TargetError: The device refused.
        """
        client = self._client
        if client is None:
            raise TransportClosed("the session is closed", board=self.board, cure="open it first")
        library = self.firmware.library
        for spec, tensor in zip(library.inputs, self._inputs, strict=True):
            self._guard(f"write {spec.name}", client.copy_to, tensor, inputs[spec.name])
        seconds = float(self._call("microtvm.aot.run"))
        self.latency_s = seconds if self.latency_s is None else min(seconds, self.latency_s)
        self.samples += 1
        outputs: dict[str, NDArray[np.generic]] = {}
        for spec, tensor in zip(library.outputs, self._outputs, strict=True):
            array: NDArray[np.generic] = np.empty(spec.shape, np.dtype(spec.dtype))
            self._guard(f"read {spec.name}", client.copy_from, tensor, array)
            outputs[spec.name] = array
        self.flush_log()
        return outputs

    def flush_log(self) -> None:
        """Hand the lines that the device logged so far to `on_log`."""
        while self._logs:
            self.on_log(self._logs.popleft())

    def close(self) -> None:
        """End the session and every process of it. Never raises, always ends."""
        if not self._interrupted:
            self._drop_client()
        bridge, self._bridge = self._bridge, None
        if bridge is not None:
            assert bridge.stdin is not None
            with contextlib.suppress(OSError):
                bridge.stdin.close()
            assert self._events is not None
            self._events.join(CLOSE_TIMEOUT_S)  # it follows the bridge to its end
            kill_group(bridge)
            self._events.join()
            assert bridge.stdout is not None
            bridge.stdout.close()
            self.flush_log()
        self._drop_client()

    def _drop_client(self) -> None:
        """Let go of the client and its handles.

        Each handle waits for the device's answer, which must not be one to an interrupted call:
        after such a call the bridge, and with it the connection, has to go first.
        """
        self._inputs.clear()
        self._outputs.clear()
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _start_bridge(self, key: str) -> None:
        config = {
            "project_dir": str(self.firmware.project_dir),
            "options": {},
            "board": self.board,
            "key": key,
            "open_timeout_s": self.timeout_s,
            "call_timeout_s": self.timeout_s,
            "parent_pid": os.getpid(),
        }
        self._bridge = subprocess.Popen(
            [sys.executable, "-m", "pytest_microtvm.session.bridge"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=package_environment(),
            text=True,
            start_new_session=True,
        )
        assert self._bridge.stdin is not None
        self._bridge.stdin.write(json.dumps(config) + "\n")
        self._bridge.stdin.flush()
        self._events = threading.Thread(
            target=self._follow, args=(self._bridge,), name=f"microtvm-{self.board}", daemon=True
        )
        self._events.start()

    def _follow(self, bridge: subprocess.Popen[str]) -> None:
        """Sort the bridge's events; runs in a thread until the bridge ends."""
        assert bridge.stdout is not None
        for line in bridge.stdout:
            event = json.loads(line)
            if event["event"] == "ready":
                self._ports.put(event["port"])
            elif event["event"] == "log":
                self._logs.append(event["text"])
            elif event["event"] == "error":
                kind = getattr(errors, event["kind"], errors.TransportError)
                self._error = kind(
                    event["message"],
                    cure=event["cure"],
                    board=self.board,
                    operation=event["operation"],
                    elapsed_s=event["elapsed_s"],
                    details=event["details"],
                )
        self._ports.put(None)

    def _await_port(self) -> int:
        try:
            # The bridge keeps its own deadline; this one is for a bridge that is stuck itself.
            port = self._ports.get(timeout=self.timeout_s + CLOSE_TIMEOUT_S)
        except queue.Empty:
            raise TransportTimeout(
                "the bridge process does not start",
                cure="is the machine overloaded? raise --microtvm-timeout",
                board=self.board,
                operation="open",
                elapsed_s=self.timeout_s,
            ) from None
        if port is None:
            raise self._error or TransportClosed(
                "the bridge process ended without a word", board=self.board, operation="open"
            )
        return port

    def _check_build_id(self) -> None:
        actual = self._call("microtvm.build_id")
        expected = self.firmware.build_id
        if actual != expected:
            raise ProtocolError(
                f"stale firmware: the device runs build {actual}, this test needs {expected}",
                cure="build and flash it again, for example with --microtvm-no-cache",
                board=self.board,
                operation="open",
            )

    def _call(self, name: str, *arguments: object) -> Any:
        assert self._client is not None
        return self._guard(f"call {name}", self._client.call, name, *arguments)

    def _guard(self, operation: str, function: Callable[..., Any], *arguments: object) -> Any:
        """Call the RPC client; if it fails, tell a broken link from a device that refuses."""
        start = time.monotonic()
        self._interrupted = True  # until it came to its end
        try:
            result = function(*arguments)
        except RpcError as error:
            message = str(error)
            if "Error caught from RPC call" in message:
                self._interrupted = False
                raise TargetError(
                    message.split("\n", 1)[-1],
                    board=self.board,
                    operation=operation,
                    elapsed_s=time.monotonic() - start,
                ) from error
            assert self._events is not None
            self._events.join(REPORT_GRACE_S)  # the bridge reports, then ends
            link_error = self._error or TransportClosed(
                f"the connection broke: {message.splitlines()[-1]}", board=self.board
            )
            link_error.operation = operation
            raise link_error from None
        self._interrupted = False
        return result
