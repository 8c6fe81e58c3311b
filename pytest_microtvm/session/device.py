"""An open device: tensors in, tensors out, and the time by the device's own clock."""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_microtvm.errors import (
    ConfigError,
    MicroTVMError,
    ProtocolError,
    TargetError,
    TransportClosed,
    TransportTimeout,
    during,
)
from pytest_microtvm.executors import HOST_DRIVEN
from pytest_microtvm.measure.counting import Counter, Counts
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.project.server import is_real
from pytest_microtvm.session.bridges import CLOSE_TIMEOUT_S, BridgeProcess, Bridges, error_of
from pytest_microtvm.session.count_log import CountLog
from pytest_microtvm.session.device_figures import DeviceCycles, read_stack
from pytest_microtvm.session.fault_injection import FaultPlan
from pytest_microtvm.session.host_driven import NodeResult
from pytest_microtvm.session.models import REBUILD, DeviceModel, HostDriven, OnDevice
from pytest_microtvm.session.rpc import RpcClient, RpcError, load_runtime
from pytest_microtvm.session.tracker import RemoteBoard

FLASH_TIMEOUT_S = 600.0
"""Far above every method's own limit, which the board's definition sets."""
REPORT_GRACE_S = 1.0
"""How long to wait for the bridge to say why it closed the connection."""
LOG_LINES = 1000
ADMITTED, LEFT = "admitted", "left"
"""What the client of a lent device does."""


class Session:
    """A session with one device that runs one firmware.

    Use it as a context manager, or call `open()` and `close()`.

    Args:
        firmware: What the device runs, and how to reach it.
        timeout_s: For opening, and for the answer to each call.
        on_log: Told each line that the device logs, when the session next touches the device.
        open_timeout_s: For opening, if that is another.
        faults: What goes wrong on the link, for tests of it; see `faults`.
        options: Project options; some of them say which real board is meant.
        board: What errors call the device, if not by the name of its board.
        bridges: Where the bridge is taken from and given back to; None for one of its own.
        remote: A board of another machine to use, in place of one of this machine.
    """

    def __init__(
        self,
        firmware: Firmware,
        timeout_s: float = 60.0,
        on_log: Callable[[str], None] = lambda line: None,
        *,
        open_timeout_s: float | None = None,
        faults: FaultPlan | None = None,
        options: Mapping[str, object] | None = None,
        board: str = "",
        bridges: Bridges | None = None,
        remote: RemoteBoard | None = None,
    ) -> None:
        self.firmware = firmware
        self.board = board or firmware.board.label
        self.timeout_s = timeout_s
        self.open_timeout_s = timeout_s if open_timeout_s is None else open_timeout_s
        self.flash_s = 0.0
        self.open_s = 0.0
        self.latency_s: float | None = None
        self.run_s: float | None = None
        self.samples = 0
        self.on_log = on_log
        self._bridges = bridges
        self._remote = remote
        self._lent: queue.Queue[str | None] = queue.Queue()  # what a client of another program did
        self._bridge: BridgeProcess | None = None
        self._client: RpcClient | None = None
        self._model: DeviceModel | None = None
        self._steps: queue.Queue[int | None] = queue.Queue()  # what the bridge did; see _take_event
        self._logs: deque[str] = deque(maxlen=LOG_LINES)
        self._key = secrets.token_hex(16)
        self._faults = faults
        self._options = dict(options or {})
        self._error: MicroTVMError | None = None
        self._reported = threading.Event()
        self._interrupted = False
        self.counts: Counts | None = None
        self.stack_bytes: int | None = None
        self.cycles = DeviceCycles()
        self._count_log: CountLog | None = None

    def __enter__(self) -> Session:
        self.open()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def is_real(self) -> bool:
        """Whether the device is a real board, and not emulated."""
        board = self.firmware.board
        return is_real({"flash": board.flash, "emulator": board.emulator}, self._options)

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return self._client is not None and self._error is None

    def flash(self) -> None:
        """Write the firmware to a real board, which `open` opens then; they share their processes.

        Raises:
            FlashError: It is not there now.
        """
        start = time.monotonic()
        try:
            self._start_bridge(flash_timeout_s=FLASH_TIMEOUT_S)
            self._await_step("flash", FLASH_TIMEOUT_S)
        except BaseException:
            self.close()
            raise
        self.flash_s = time.monotonic() - start

    def open(self) -> None:
        """Start the device, its link and the RPC client, and make sure it runs this firmware.

        Raises:
            TransportError: The device did not start or answer.
            ProtocolError: It runs other firmware.
        """
        start = time.monotonic()
        try:
            if isinstance(self.firmware.counter, Counter) and not self.is_real:
                self._count_log = CountLog(self.firmware.counter)
            if self._bridge is None:  # else it opens the device by itself, once it has flashed it
                self._start_bridge()
            load_runtime()  # while the device boots
            port = self._await_step("open", self.open_timeout_s)
            self._client = self._guard("open", RpcClient, port, self._key)
            self._check_build_id()
            self._model = self._open_model(self._client)
        except BaseException:
            self.close()
            raise
        self.open_s = time.monotonic() - start
        self.flush_log()

    def reset(self) -> None:
        """Begin a sequence: give what the model keeps from run to run its initial value.

        Raises:
            TransportError: The link broke, or the device did not answer in time.
            TargetError: The device refused.
        """
        model = self._opened()
        if self.firmware.library.states:
            model.reset()

    def run_sequence(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the model on a sequence of inputs, from its initial state on.

        Args:
            inputs: One array per input, of its dtype and shape with the steps as first dimension.

        Returns:
            One array per output by name, with the steps first; `run_s` is then their mean time.

        Raises:
            MicroTVMError: As of `run`.
        """
        self.reset()
        (steps,) = {len(array) for array in inputs.values()}
        outputs, seconds = [], 0.0
        for step in range(steps):  # of scalars as well, an array
            with during(f"step {step}"):
                outputs.append(self.run({name: array[step, ...] for name, array in inputs.items()}))
            seconds += self.run_s or 0.0
        self.run_s = seconds / steps
        return {name: np.stack([each[name] for each in outputs]) for name in outputs[0]}

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Run the model once; it goes on from the state that the run before left.

        Args:
            inputs: One array per input, of its exact shape and dtype (see `check_inputs`).

        Returns:
            One array per output, by name. `run_s` then holds the time of this run, `latency_s` that
            of the fastest so far; `counts` the instructions of the one that took most, where they
            are counted, or its `cycles` by a real board; `stack_bytes` the most that was ever on
            the device's stack, where it knows; and `samples` how many runs these are of.

        Raises:
            TransportError: The link broke, or the device did not answer in time.
            TargetError: The device refused.
        """
        model = self._opened()
        library = self.firmware.library
        arrays = [inputs[spec.name] for spec in library.inputs]
        if self._count_log is not None:
            self._count_log.skip()
        outputs, seconds = model.run(arrays)
        if self._count_log is not None:
            counts = self._count_log.read()
            if counts is not None and (self.counts is None or counts.total > self.counts.total):
                self.counts = counts
        if self.is_real and self.firmware.executor != HOST_DRIVEN:
            self.cycles.read(self._call, seconds)
        self.stack_bytes = read_stack(self._call)
        self.latency_s = seconds if self.latency_s is None else min(seconds, self.latency_s)
        self.run_s = seconds
        self.samples += 1
        self.flush_log()
        return {spec.name: array for spec, array in zip(library.outputs, outputs, strict=True)}

    def forget_figures(self) -> None:
        """Begin anew with what runs measure: `latency_s`, `counts`, `cycles` and so on."""
        self.latency_s = self.counts = self.stack_bytes = None
        self.cycles.forget()
        self.samples = 0

    def debug(
        self, inputs: Mapping[str, NDArray[np.generic]], *, is_timed: bool = True
    ) -> list[NodeResult]:
        """Run the model once, kernel by kernel, and keep what each gave.

        Args:
            inputs: As of `run`.
            is_timed: Take each kernel's time, for which it runs several times. If not, `counts`
                holds the instructions of each then, where they are counted.

        Returns:
            Every call with its outputs and its time by the device's timer.

        Raises:
            ConfigError: The firmware's executor is not `host_driven`.
            MicroTVMError: As of `run`.
        """
        model = self._opened()
        if not isinstance(model, HostDriven):
            raise ConfigError(
                f"the executor {self.firmware.executor} does not show single kernels",
                cure=f"use the executor {HOST_DRIVEN}",
                board=self.board,
            )
        if self._count_log is not None:
            self._count_log.skip()
        arrays = [inputs[spec.name] for spec in self.firmware.library.inputs]
        results = model.debug(arrays, is_timed)
        if self._count_log is not None and not is_timed:
            self.counts = self._count_log.read()
        self.flush_log()
        return results

    @property
    def rpc(self) -> Any:
        """The link as TVM's own session object, `tvm.rpc.RPCSession`.

        With it a test can call any function of the device by name, and kernels of the firmware
        with tensors in the device's memory (executor `host_driven`). It imports tvm.

        Raises:
            TransportClosed: The session is not open.
        """
        self._opened()
        assert self._client is not None
        return self._client.session

    def lend(self, key: str, name: str, host: str, port: int) -> int:
        """Start the device anew, for one client of another program; this one's use of it ends.

        Args:
            key: What lets the client in.
            name: What the client is told that the device is.
            host: The address of this machine where the client comes in.
            port: Its port, or 0 for a free one.

        Returns:
            The port.

        Raises:
            MicroTVMError: The device did not start; the session is closed.
        """
        self.close()
        self._steps, self._lent = queue.Queue(), queue.Queue()
        self._reported.clear()
        self._key, self._count_log = key, None
        if "reset" in self._options:  # after a session of a stranger nothing else is safe
            self._options["reset"] = True
        try:
            self._start_bridge(lend={"name": name, "host": host, "port": port})
            return self._await_step("open", self.open_timeout_s)
        except BaseException:
            self.close()
            raise

    def next_of_client(self, timeout_s: float) -> str | None:
        """What the client of a lent device did next.

        Args:
            timeout_s: How long to wait for it to do anything.

        Returns:
            `ADMITTED`, `LEFT`, or None where nothing happened.

        Raises:
            MicroTVMError: The device is in trouble.
        """
        try:
            event = self._lent.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self.flush_log()
        if event is None:
            if self._error is None and self._bridge is not None and self._bridge.ended_in_order:
                return LEFT  # in the middle of an answer
            raise self._error or TransportClosed(
                "the bridge process ended without a word", board=self.board, operation="serve"
            )
        return event

    def flush_log(self) -> None:
        """Hand the lines that the device logged so far to `on_log`."""
        while self._logs:
            self.on_log(self._logs.popleft())

    def begin_close(self) -> None:
        """Have the device let go of, without waiting for it; `close` does the rest."""
        if not self._interrupted:
            self._drop_client()
        if self._bridge is not None:
            self._bridge.ask_to_close()

    def close(self) -> None:
        """End the session and every process of it. Never raises, always ends."""
        self.begin_close()
        bridge, self._bridge = self._bridge, None
        if bridge is not None and self._bridges is not None:
            self._bridges.give_back(bridge)
        elif bridge is not None:
            bridge.finish()
            bridge.kill()
        if bridge is not None:
            self.flush_log()
        self._drop_client()
        if self._count_log is not None:
            self._count_log.close()
        self._error = None  # its traceback holds this session, and with it the connection

    def _drop_client(self) -> None:
        """Let go of the client and its handles.

        Each handle waits for the device's answer, which must not be one to an interrupted call:
        after such a call the bridge, and with it the connection, has to go first.
        """
        self._model = None
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _start_bridge(
        self, flash_timeout_s: float | None = None, lend: Mapping[str, object] | None = None
    ) -> None:
        counting = {} if self._count_log is None else self._count_log.project_options
        config = {
            "project_dir": str(self.firmware.project_dir),
            "elf": None if self.firmware.elf is None else str(self.firmware.elf),
            "options": {**self._options, **counting},
            "board": self.board,
            "key": self._key,
            "lend": lend,
            "remote": None if self._remote is None else asdict(self._remote),
            "open_timeout_s": self.open_timeout_s,
            "call_timeout_s": self.timeout_s,
            "flash_timeout_s": flash_timeout_s,
            "faults": None if self._faults is None else asdict(self._faults),
        }
        self._bridge = BridgeProcess() if self._bridges is None else self._bridges.take()
        self._bridge.start(config, self._take_event)

    def plan_faults(self, plan: FaultPlan) -> None:
        """Have something else go wrong from now on; the session must have been made with faults."""
        assert self._bridge is not None
        self._bridge.tell("faults", asdict(plan))

    def _take_event(self, event: Mapping[str, Any]) -> None:
        """Take an event of the bridge; runs in the bridge's thread."""
        if event["event"] == "flashed":
            self._steps.put(0)
        elif event["event"] == "ready":
            self._steps.put(event["port"])
        elif event["event"] in (ADMITTED, LEFT):
            self._lent.put(event["event"])
        elif event["event"] == "log":
            self._logs.append(event["text"])
        elif event["event"] == "error":
            self._error = error_of(event, self.board)
            self._end_waits()
        else:
            self._end_waits()

    def _end_waits(self) -> None:
        self._reported.set()
        self._steps.put(None)
        self._lent.put(None)

    def _await_step(self, operation: str, timeout_s: float) -> int:
        """Wait until the bridge has done something: flashed the board, or opened a port."""
        try:
            # The bridge keeps its own deadline; this one is for a bridge that is stuck itself.
            result = self._steps.get(timeout=timeout_s + CLOSE_TIMEOUT_S)
        except queue.Empty:
            raise TransportTimeout(
                "the bridge process does not start",
                cure="is the machine overloaded? raise --microtvm-timeout",
                board=self.board,
                operation=operation,
                elapsed_s=timeout_s,
            ) from None
        if result is None:
            raise self._error or TransportClosed(
                "the bridge process ended without a word", board=self.board, operation=operation
            )
        return result

    def _check_build_id(self) -> None:
        actual = self._call("microtvm.build_id")
        expected = self.firmware.build_id
        if expected and actual != expected:
            raise ProtocolError(
                f"stale firmware: the device runs build {actual}, this test needs {expected}",
                cure=REBUILD,
                board=self.board,
                operation="open",
            )

    def _opened(self) -> DeviceModel:
        if self._model is None:
            raise TransportClosed("the session is closed", board=self.board, cure="open it first")
        return self._model

    def _open_model(self, client: RpcClient) -> DeviceModel:
        library = self.firmware.library
        if self.firmware.executor == HOST_DRIVEN:
            return HostDriven(client, library, self._guard)
        return OnDevice(client, library, self._guard)

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
            if "Error caught from RPC call" in message or "has no function" in message:
                self._interrupted = False
                raise TargetError(
                    message.split("\n", 1)[-1],
                    board=self.board,
                    operation=operation,
                    elapsed_s=time.monotonic() - start,
                ) from error
        else:
            self._interrupted = False
            return result
        # TVM has at most 32 connections at a time, and one lasts until its last tensor is gone. The
        # frames of a traceback hold tensors: no error may hold itself by a frame of its own, nor
        # the client's error.
        raise self._link_error(operation, message)

    def _link_error(self, operation: str, message: str) -> MicroTVMError:
        """What the bridge reports of a broken link; what the client says if it reports nothing."""
        self._reported.wait(REPORT_GRACE_S)  # the bridge closes the connection, then reports
        error = self._error or TransportClosed(
            f"the connection broke: {message.splitlines()[-1]}", board=self.board
        )
        error.operation = operation
        return error
