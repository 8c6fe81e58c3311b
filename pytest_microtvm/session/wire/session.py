"""Sessions over frames: who talks to whom since when, and log lines beside the traffic.

    session id: u16 | type: u8 | body          the payload of a frame; integers little-endian

The low byte of the session id is the host's nonce, the high byte the device's; neither is 0 in an
established session. A device that starts sends a terminate message with session id 0; the host
sends `START_INIT` with its nonce, at any time and as often as it likes until the device answers.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

from pytest_microtvm.errors import ProtocolError
from pytest_microtvm.session.wire.checked import CHECKED_MESSAGES, seal, unseal
from pytest_microtvm.session.wire.framing import encode

PROTOCOL_VERSION = 1
FAULT_VERSION = 1

_HEADER = struct.Struct("<HB")
HEADER_BYTES = _HEADER.size


class MessageType(enum.IntEnum):
    """The third byte of a message."""

    START_INIT = 0x00
    START_REPLY = 0x01
    TERMINATE = 0x02
    LOG = 0x03
    FAULT = 0x04
    NORMAL = 0x10
    CHECKED = 0x11


@dataclass(frozen=True)
class Message:
    """The payload of a frame, taken apart."""

    session_id: int
    type: int
    body: bytes


@dataclass(frozen=True)
class Established:
    """The device answered: packets may be sent."""

    session_id: int


@dataclass(frozen=True)
class Packet:
    """An RPC packet of the device, with its own length field."""

    data: bytes


@dataclass(frozen=True)
class LogLine:
    """A log message of the device."""

    text: str


@dataclass(frozen=True)
class Fault:
    """The device's CPU raised an exception; it says no more.

    Attributes:
        registers: What the device reports, as text: "kind", "pc", "sp", where there is one the
            "address" that the fault is about, and the CPU's registers by their names.
    """

    registers: dict[str, str]


@dataclass(frozen=True)
class DeviceStarted:
    """The device has started and knows of no session: (re)send the start of one."""


@dataclass(frozen=True)
class ChecksRefused:
    """The device knows no checked messages: start again, which asks for none."""


@dataclass(frozen=True)
class SessionLost:
    """The device ended the established session, or was reset in the middle of it.

    Attributes:
        restarted: It was reset.
    """

    restarted: bool


@dataclass(frozen=True)
class Damaged:
    """A checked message whose own sum is wrong, though that of its frame was right."""


@dataclass(frozen=True)
class Ignored:
    """A message that means nothing now, such as one of an earlier session."""

    reason: str


SessionEvent = (
    Established
    | Packet
    | LogLine
    | Fault
    | DeviceStarted
    | ChecksRefused
    | SessionLost
    | Damaged
    | Ignored
)


class SessionState(enum.Enum):
    """Where a session stands, as the host sees it."""

    IDLE = "idle"
    STARTING = "starting"
    ESTABLISHED = "established"
    LOST = "lost"


def pack_message(session_id: int, message_type: MessageType, body: bytes = b"") -> bytes:
    """A message as the payload of a frame."""
    return _HEADER.pack(session_id, message_type) + body


def parse_message(payload: bytes) -> Message:
    """Take the payload of a frame apart.

    Raises:
        ProtocolError: The payload is shorter than the header.
    """
    if len(payload) < _HEADER.size:
        raise ProtocolError(f"a frame of {len(payload)} bytes is shorter than the session header")
    session_id, message_type = _HEADER.unpack_from(payload)
    return Message(session_id, message_type, payload[_HEADER.size :])


def _parse_fault(body: bytes) -> Fault | Ignored:
    """Read the report of a fault: a version, then lines of "name=value"."""
    if body[:1] != bytes((FAULT_VERSION,)):
        return Ignored(f"the report of a fault, of version {body[:1].hex() or 'none'}")
    lines = body[1:].decode("utf-8", errors="replace").splitlines()
    pairs = (line.partition("=") for line in lines)
    return Fault({name: value for name, equals, value in pairs if equals})


class HostSession:
    """The host's side of one session, as a state machine without I/O.

    Repeating `start` with the same nonce is safe: a device answers a repeated start with the same
    session id until the first packet, so that a late second answer is of this same session.

    Args:
        checked: Whether to ask for checked messages (see `checked`).
    """

    def __init__(self, *, checked: bool = False) -> None:
        self._state = SessionState.IDLE
        self._nonce = 0
        self._session_id = 0
        self._features = CHECKED_MESSAGES if checked else 0
        self._checked = False
        self._sequence = 0

    @property
    def state(self) -> SessionState:
        """Where the session stands."""
        return self._state

    @property
    def session_id(self) -> int:
        """The id of the established session; 0 before."""
        return self._session_id

    @property
    def checked(self) -> bool:
        """Whether the packets of the established session travel in checked messages."""
        return self._checked

    def start(self, nonce: int) -> bytes:
        """Ask the device for a new session, which replaces any earlier one.

        Args:
            nonce: 1 to 255, best at random; the same again when there was no answer yet.

        Returns:
            Bytes for the wire.

        Raises:
            ValueError: The nonce is not in that range.
        """
        if not 1 <= nonce <= 0xFF:
            raise ValueError(f"nonce {nonce} is not in 1 to 255")
        self._state = SessionState.STARTING
        self._nonce = nonce
        self._session_id = 0
        body = bytes((PROTOCOL_VERSION, self._features) if self._features else (PROTOCOL_VERSION,))
        return encode(pack_message(nonce, MessageType.START_INIT, body))

    def send(self, packet: bytes) -> bytes:
        """Wrap an RPC packet.

        Args:
            packet: One whole packet, with its length field.

        Returns:
            Bytes for the wire.

        Raises:
            ProtocolError: No session is established.
        """
        if self._state is not SessionState.ESTABLISHED:
            raise ProtocolError(f"no packet can be sent in a session that is {self._state.value}")
        if not self._checked:
            return encode(pack_message(self._session_id, MessageType.NORMAL, packet))
        self._sequence = (self._sequence + 1) & 0xFF
        header = pack_message(self._session_id, MessageType.CHECKED)
        return encode(header + seal(header, self._sequence, packet))

    def accept(self, payload: bytes) -> SessionEvent:
        """Take the payload of a frame from the device.

        Args:
            payload: As `FrameDecoder` gives it.

        Returns:
            What it means.

        Raises:
            ProtocolError: The payload is no message, or the device speaks another version.
        """
        message = parse_message(payload)
        if message.type == MessageType.LOG:
            return LogLine(message.body.decode("utf-8", errors="replace"))
        if message.type == MessageType.FAULT:
            return _parse_fault(message.body)
        if message.type == MessageType.START_REPLY:
            return self._accept_start_reply(message)
        if message.type == MessageType.TERMINATE:
            return self._accept_terminate(message)
        if message.type in (MessageType.NORMAL, MessageType.CHECKED):
            return self._accept_packet(message)
        return Ignored(f"a message of unknown type {message.type:#04x}")

    def _accept_packet(self, message: Message) -> SessionEvent:
        if self._state is not SessionState.ESTABLISHED or message.session_id != self._session_id:
            return Ignored(f"a packet of session {message.session_id:#06x}")
        if (message.type == MessageType.CHECKED) is not self._checked:
            return Ignored(f"a packet in a message of type {message.type:#04x}")
        if not self._checked:
            return Packet(message.body)
        header = pack_message(message.session_id, MessageType.CHECKED)
        content = unseal(header, message.body)
        if content is None:
            return Damaged()
        sequence, packet = content
        if sequence != self._sequence:
            return Ignored(f"the answer to request {sequence}, this is {self._sequence}")
        return Packet(packet)

    def _accept_start_reply(self, message: Message) -> SessionEvent:
        if self._state is not SessionState.STARTING or message.session_id & 0xFF != self._nonce:
            return Ignored(f"a start reply of session {message.session_id:#06x}")
        longest = 2 if self._features else 1
        if message.body[:1] != bytes((PROTOCOL_VERSION,)) or len(message.body) > longest:
            version = message.body.hex() or "none"
            raise ProtocolError(
                f"the device speaks version {version} of the session protocol, "
                f"this host version {PROTOCOL_VERSION:02x}",
                cure="build the firmware with the runtime of this release",
            )
        granted = message.body[1] if len(message.body) > 1 else 0
        if message.session_id >> 8 == 0 and self._features and not granted:
            self._features = 0
            return ChecksRefused()
        if message.session_id >> 8 == 0:
            raise ProtocolError("the device answered the start of a session with the nonce 0")
        self._state = SessionState.ESTABLISHED
        self._session_id = message.session_id
        self._checked = bool(granted & self._features & CHECKED_MESSAGES)
        self._sequence = 0
        return Established(message.session_id)

    def _accept_terminate(self, message: Message) -> SessionEvent:
        if self._state is SessionState.ESTABLISHED and message.session_id in (0, self._session_id):
            self._state = SessionState.LOST
            return SessionLost(restarted=message.session_id == 0)
        if message.session_id == 0:
            return DeviceStarted()
        return Ignored(f"the end of session {message.session_id:#06x}")
