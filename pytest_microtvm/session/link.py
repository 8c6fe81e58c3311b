"""The link to one device: a session over a transport, and what to say when it breaks.

A `Link` starts the session, restarting the device when it has to, and exchanges RPC packets. It
keeps count of what arrives, so that a device that does not answer is described by what it does
instead. docs/protocol.md lists the kinds.
"""

from __future__ import annotations

import secrets
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import (
    MicroTVMError,
    ProtocolError,
    TargetError,
    TransportClosed,
    TransportError,
    TransportTimeout,
)
from pytest_microtvm.session.device_fault import explain_fault
from pytest_microtvm.session.replies import check_reply, describe_request
from pytest_microtvm.session.transport import Transport
from pytest_microtvm.session.wire.framing import Frame, FrameDecoder, FrameError, FrameFault
from pytest_microtvm.session.wire.rpc import RpcCode, packet_code
from pytest_microtvm.session.wire.session import (
    ChecksRefused,
    Damaged,
    DeviceStarted,
    Established,
    Fault,
    HostSession,
    Ignored,
    LogLine,
    Packet,
    SessionLost,
    SessionState,
)

READ_BYTES = 1 << 16
RETRY_START_S = 0.25
"""After how long without an answer a session is started anew: the device may have been booting."""
MAX_ATTEMPTS = 3
"""How often a device is started, the first time included, before it is given up."""
MAX_RESTARTS = 8
"""A device that says so often within one attempt that it has started is in a loop."""
PROBE_S = 0.25
"""How long a device that owes an answer is given to answer the start of a new session."""
SLICE_S = 0.5
"""The longest single wait for the device, so that the parent's end is noticed."""
FREE_TIMEOUT_S = 2.0
LOG_TAIL_LINES = 20
LOG_LINE_BYTES = 240
MAX_NOISE_LINES = 100
"""How many lines outside of frames are passed on while one answer is awaited."""
MAX_FRAME_BYTES = 1 << 20

_GATHER_BYTES = 256
_GATHER_BYTES_PER_S = 1e6
_GATHER_S = 0.002

_HANDLE = struct.Struct("<Q")
_PACKET_BODY = 12


@dataclass
class Traffic:
    """What arrived since a point in time.

    Attributes:
        start: That point, of the monotonic clock.
        received_bytes: All bytes.
        frames: Whole frames.
        damaged: Frames that were dropped.
        starts: How often the device said that it has started.
        log_lines: Log messages.
        noise_bytes: Bytes outside of frames.
        noise_lines: Likewise, lines.
        ignored: Why the latest message that meant nothing was ignored.
    """

    start: float
    received_bytes: int = 0
    frames: int = 0
    damaged: int = 0
    starts: int = 0
    log_lines: int = 0
    noise_bytes: int = 0
    noise_lines: int = 0
    ignored: str = ""

    def describe(self, wanted: str, missing_bytes: int) -> str:
        """What the device did instead of answering.

        Args:
            wanted: What it owes an answer to.
            missing_bytes: Of a frame that has begun.
        """
        if self.received_bytes == 0:
            return f"the device is silent: no byte of an answer to {wanted}"
        if self.starts > 1:
            return f"the device keeps resetting: it started {self.starts} times"
        if self.frames == 0 and missing_bytes:
            return (
                f"the device stopped in the middle of a frame: {missing_bytes} bytes are missing "
                f"of the answer to {wanted}"
            )
        if self.frames == 0 or 2 * self.noise_bytes > self.received_bytes:
            return (
                f"the device babbles: {self.received_bytes} bytes, most of them in no whole frame, "
                f"but no answer to {wanted}"
            )
        if self.ignored:
            return f"the device does not answer {wanted}: it sent {self.ignored}"
        if self.log_lines:
            return f"the device logs, but does not answer {wanted}"
        return f"the device does not answer {wanted}"


class Link:
    """A session with the device at the other end of a transport.

    Args:
        transport: Is opened by `start` and closed by `close`.
        on_log: Told each line that the device logs, or writes outside of frames.
        keep_waiting: Called between waits; may raise to end them.
        explain_fault: Makes the error of the registers that a device in trouble reports.
    """

    def __init__(
        self,
        transport: Transport,
        on_log: Callable[[str], None] = lambda line: None,
        keep_waiting: Callable[[], None] = lambda: None,
        explain_fault: Callable[[Mapping[str, str]], TargetError] = explain_fault,
    ) -> None:
        self._transport = transport
        self._on_log = on_log
        self._keep_waiting = keep_waiting
        self._explain_fault = explain_fault
        self._log_lines: deque[str] = deque(maxlen=LOG_TAIL_LINES)
        self._functions: dict[bytes, str] = {}
        self._forget()

    def _forget(self) -> None:
        """Expect a device fresh from reset."""
        self._decoder = FrameDecoder(MAX_FRAME_BYTES)
        self._session = HostSession(checked=True)
        self._replies: list[bytes] = []
        self._asked_again = False
        self._text = bytearray()
        self._short_read = True
        self._begin()

    def _begin(self) -> None:
        self._traffic = Traffic(time.monotonic())

    def start(self, deadline: Deadline) -> None:
        """Open the transport and start a session; the device is restarted when that fails.

        Raises:
            TransportError: The device does not start a session; says what it does.
            ProtocolError: It speaks another version.
            MicroTVMError: The transport cannot be opened.
        """
        attempt = 1
        while True:
            timeouts = self._transport.open(deadline)
            share_s = deadline.timeout_s / MAX_ATTEMPTS
            limit_s = min(timeouts.session_start_timeout_s or share_s, share_s)
            if attempt == MAX_ATTEMPTS:
                limit_s = deadline.remaining_s
            self._forget()
            try:
                self._start_once(Deadline(deadline.at_most(limit_s)))
                return
            except TransportError as error:
                if attempt == MAX_ATTEMPTS or deadline.expired:
                    error.message += f"; tried {attempt} times, from a restart of the device each"
                    error.elapsed_s = deadline.elapsed_s
                    raise
                self._log(f"(restarting the device: {error.message})")
            attempt += 1

    def _start_once(self, deadline: Deadline) -> None:
        nonce = secrets.randbelow(255) + 1
        self._begin()
        while not self.established:
            if deadline.expired:
                raise self._no_answer("the start of a session", "open", deadline)
            if self._traffic.starts > MAX_RESTARTS:
                raise TransportError(
                    self._traffic.describe("the start of a session", 0),
                    cure="its last log lines, if any, say why",
                    operation="open",
                    elapsed_s=deadline.elapsed_s,
                    details=self.log_tail(),
                )
            self._write(self._session.start(nonce), deadline, "open")
            again = Deadline(deadline.at_most(RETRY_START_S))
            self._asked_again = False
            while not (self.established or self._asked_again or again.expired):
                self._read(again.remaining_s, "open")
                self._keep_waiting()

    @property
    def established(self) -> bool:
        """Whether packets can be exchanged."""
        return self._session.state is SessionState.ESTABLISHED

    @property
    def checked(self) -> bool:
        """Whether packets are numbered and summed end to end."""
        return self._session.checked

    def exchange(self, packet: bytes, timeout_s: float) -> bytes:
        """Send one RPC packet and wait for its answer.

        Args:
            packet: A request that has an answer.
            timeout_s: For the answer; less for the release of handles, so that a session with a
                dead device ends soon.

        Returns:
            The answer, which TVM's client can read (see `check_reply`).

        Raises:
            TransportError: No answer came; says what the device did instead.
            TargetError: The device reported a fault.
            ProtocolError: The answer was damaged or malformed.
        """
        code = packet_code(packet)
        wanted = self._describe(packet)
        if code == RpcCode.FREE_HANDLE:
            timeout_s = min(timeout_s, FREE_TIMEOUT_S)
        deadline = Deadline(timeout_s)
        self._replies.clear()
        self._begin()
        self._write(self._session.send(packet), deadline, wanted)
        while not self._replies:
            if deadline.expired:
                raise self._no_answer(wanted, "call", deadline)
            self._read(deadline.at_most(SLICE_S), wanted)
            self._keep_waiting()
        reply = self._replies.pop(0)
        try:
            check_reply(packet, reply)
        except ProtocolError as error:
            error.operation, error.details = "call", self.log_tail()
            raise
        self._note_function(packet, reply)
        return reply

    def poll(self) -> None:
        """Take log lines of a device that is asked nothing.

        Raises:
            MicroTVMError: It faulted, or ended the session.
        """
        self._read(0.0, "nothing")

    def close(self) -> None:
        """Let go of the device. Never raises, ends soon."""
        self._transport.close()

    def log_tail(self) -> str:
        """The last lines that the device logged."""
        return "\n".join(f"device log: {line}" for line in self._log_lines)

    # ---- words ----

    def _no_answer(self, wanted: str, operation: str, deadline: Deadline) -> TransportTimeout:
        traffic = self._traffic
        message = traffic.describe(wanted, self._decoder.missing_bytes)
        cure = "check that the firmware boots and that its console is the right port"
        if operation == "call":
            cure = "raise --microtvm-timeout if the model may take longer"
            if self._answers_start():
                message += "; a new session it does start: the request or its answer was lost"
                cure = "check the cable and the baud rate"
            else:
                message += "; nor the start of a session: it is stuck, or gone"
        self._flush_text()
        return TransportTimeout(
            message,
            cure=cure,
            operation=operation,
            elapsed_s=deadline.elapsed_s,
            details=self.log_tail(),
        )

    def _answers_start(self) -> bool:
        """Whether the device serves other requests than the one it owes an answer to."""
        probe, decoder, deadline = HostSession(), FrameDecoder(MAX_FRAME_BYTES), Deadline(PROBE_S)
        try:
            self._transport.write(probe.start(secrets.randbelow(255) + 1), deadline)
            while not deadline.expired:
                data = self._transport.read(READ_BYTES, deadline)
                for event in decoder.feed(data):
                    if isinstance(event, Frame) and isinstance(
                        probe.accept(event.payload), Established
                    ):
                        return True
        except MicroTVMError:
            pass
        return False

    def _describe(self, packet: bytes) -> str:
        if packet_code(packet) == RpcCode.CALL_FUNCTION:
            handle = packet[_PACKET_BODY : _PACKET_BODY + _HANDLE.size]
            if handle in self._functions:
                return f"a call of {self._functions[handle]}"
        return describe_request(packet)

    def _note_function(self, packet: bytes, reply: bytes) -> None:
        """Remember the name of a function by its handle."""
        # Both bodies are a sequence of one value: count, type, then length and name, or the handle.
        value = _PACKET_BODY + 8
        if packet_code(packet) == RpcCode.GET_GLOBAL_FUNCTION and len(reply) == value + 8:
            self._functions[reply[value:]] = packet[value + 8 :].decode("utf-8", "replace")

    # ---- bytes ----

    def _write(self, data: bytes, deadline: Deadline, wanted: str) -> None:
        try:
            self._transport.write(data, deadline)
        except TransportTimeout as error:
            raise TransportTimeout(
                f"the device takes no more bytes of {wanted}: {error.message}",
                cure="is it stuck, or its receive buffer full?",
                operation="open" if wanted == "open" else "call",
                elapsed_s=deadline.elapsed_s,
                details=self.log_tail(),
            ) from error
        except TransportClosed as error:
            self._read_last(deadline, wanted)
            raise self._gone(error, wanted) from error

    def _read_last(self, deadline: Deadline, wanted: str) -> None:
        """Take what a device that is gone said before; raises what comes of it."""
        end = Deadline(deadline.at_most(SLICE_S))
        while not end.expired:
            self._read(end.remaining_s, wanted)

    def _read(self, timeout_s: float, wanted: str) -> None:
        """Take what the device sends within a time, and sort it."""
        self._gather()
        try:
            data = self._transport.read(READ_BYTES, Deadline(timeout_s))
        except TransportTimeout:
            self._flush_text()
            return
        except TransportClosed as error:
            raise self._gone(error, wanted) from error
        self._short_read = len(data) < READ_BYTES
        self._traffic.received_bytes += len(data)
        for event in self._decoder.feed(data):
            if isinstance(event, Frame):
                self._traffic.frames += 1
                self._accept(event.payload)
            elif isinstance(event, FrameError):
                self._traffic.damaged += 1
                if self.established:
                    raise self._damaged(event.fault)
                # Before the session is up a reset may cut a frame, and noise look like one.
            else:
                self._take_text(event.data)

    def _gather(self) -> None:
        """Give a slow line time to bring more of a long frame, since each read costs a call."""
        missing = self._decoder.missing_bytes
        if self._short_read and missing > _GATHER_BYTES:
            time.sleep(min(missing / _GATHER_BYTES_PER_S, _GATHER_S))

    def _accept(self, payload: bytes) -> None:
        event = self._session.accept(payload)
        if isinstance(event, Packet):
            self._replies.append(event.data)
        elif isinstance(event, LogLine):
            self._traffic.log_lines += 1
            self._log(event.text)
        elif isinstance(event, DeviceStarted):
            self._traffic.starts += 1
            self._asked_again = True
        elif isinstance(event, Fault):
            self._flush_text()
            fault = self._explain_fault(event.registers)
            fault.details = "\n".join(filter(None, (fault.details, self.log_tail())))
            raise fault
        elif isinstance(event, ChecksRefused):
            self._asked_again = True
        elif isinstance(event, SessionLost):
            self._flush_text()
            raise TransportClosed(
                "the device was reset: it has started anew in the middle of the session"
                if event.restarted
                else "the device ended the session",
                cure="its last log lines, if any, say why",
                operation="call",
                details=self.log_tail(),
            )
        elif isinstance(event, Damaged):
            raise self._damaged(FrameFault.BAD_CRC)
        elif isinstance(event, Ignored):
            self._traffic.ignored = event.reason

    def _gone(self, error: TransportClosed, wanted: str) -> TransportClosed:
        during = "before a session was started" if wanted == "open" else f"during {wanted}"
        self._flush_text()
        return TransportClosed(
            f"the device is gone {during}: {error.message}",
            cure=error.cure or "its last log lines, if any, say why",
            operation="open" if wanted == "open" else "call",
            details="\n".join(filter(None, (self.log_tail(), error.details))),
        )

    def _damaged(self, fault: FrameFault) -> ProtocolError:
        self._flush_text()
        return ProtocolError(
            f"the device sent a damaged frame: {fault.value}",
            cure="check the cable and the baud rate",
            operation="call",
            details=self.log_tail(),
        )

    # ---- log ----

    def _take_text(self, data: bytes) -> None:
        """Cut bytes outside of frames into lines."""
        self._traffic.noise_bytes += len(data)
        self._text += data
        *lines, rest = bytes(self._text).split(b"\n")
        while len(rest) > LOG_LINE_BYTES:
            lines.append(rest[:LOG_LINE_BYTES])
            rest = rest[LOG_LINE_BYTES:]
        for line in lines:
            self._log_noise(line)
        self._text[:] = rest

    def _flush_text(self) -> None:
        if self._text:
            self._log_noise(self._text)
            self._text.clear()

    def _log_noise(self, line: bytes | bytearray) -> None:
        self._traffic.noise_lines += 1
        text = line.decode("utf-8", "replace")
        self._log(text, pass_on=self._traffic.noise_lines <= MAX_NOISE_LINES)

    def _log(self, text: str, *, pass_on: bool = True) -> None:
        for line in text.splitlines():
            shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
            if shown.strip():
                self._log_lines.append(shown)
                if pass_on:
                    self._on_log(shown)
