"""What a virtual debug probe does beyond passing packets between gdb and QEMU's gdb server.

Source of the packets: "Remote Serial Protocol" in GDB's manual.
"""

from __future__ import annotations

import contextlib
import enum
from dataclasses import dataclass

# What probes of all makes call it, and QEMU's word for it. Whether the chip runs afterwards is a
# matter of gdb's being there: it runs once gdb lets go of it.
_RESETS = frozenset(("reset", "reset run", "reset halt", "reset init"))
_RESET_OF_QEMU = "system_reset"

_MONITOR = b"qRcmd,"
_WRITES = (b"M", b"X")
_RESUMES = (b"c", b"C", b"s", b"S", b"D", b"k", b"R", b"vCont;", b"vKill")


class Effect(enum.Enum):
    """What a packet does to the board."""

    NONE = enum.auto()
    WRITES = enum.auto()
    RESUMES = enum.auto()
    RESETS = enum.auto()


@dataclass(frozen=True)
class Packet:
    """A packet on its way from gdb, as QEMU is to get it; also an acknowledgement or interrupt.

    Attributes:
        data: The packet.
        effect: What it does.
        address: Where it writes to; -1 if it does not.
    """

    data: bytes
    effect: Effect
    address: int = -1


class PacketSplitter:
    """Cuts what gdb sends into packets, and says what each is about to do."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[Packet]:
        """Take the next bytes.

        Returns:
            What they completed.
        """
        self._pending += data
        packets = []
        while self._pending:
            start = self._pending.find(b"$")
            if start != 0:  # acknowledgements, interrupts
                end = start if start > 0 else len(self._pending)
                packets.append(Packet(bytes(self._pending[:end]), Effect.NONE))
            else:
                end = self._pending.find(b"#") + 3  # the checksum has two digits
                if end < 3 or len(self._pending) < end:
                    break
                packets.append(_understand(bytes(self._pending[1 : end - 3])))
            del self._pending[:end]
        return packets


def frame(body: bytes) -> bytes:
    """A packet with its marks and checksum."""
    return b"$%b#%02x" % (body, sum(body) % 256)


def _understand(body: bytes) -> Packet:
    effect, address = Effect.NONE, -1
    if body.startswith(_MONITOR):
        command = bytes.fromhex(body[len(_MONITOR) :].decode("ascii", "replace")).decode()
        if command.strip() in (*_RESETS, _RESET_OF_QEMU):
            effect = Effect.RESETS
            body = _MONITOR + _RESET_OF_QEMU.encode().hex().encode()
    elif body.startswith(_WRITES):
        effect = Effect.WRITES
        with contextlib.suppress(ValueError):
            address = int(body[1:].partition(b",")[0], 16)
    elif body.startswith(_RESUMES):
        effect = Effect.RESUMES
    return Packet(frame(body), effect, address)
