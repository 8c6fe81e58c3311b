"""A virtual board: a machine with a serial port, a debug probe, a power switch and a cable."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import socket
import tty
from pathlib import Path

from pytest_microtvm.boards import Board
from pytest_microtvm.virtual_lab.loop import Loop
from pytest_microtvm.virtual_lab.machine import Machine
from pytest_microtvm.virtual_lab.probe import Effect, PacketSplitter

_READ_BYTES = 1 << 16
_MAX_WAITING_BYTES = 1 << 24
"""What a port holds for a reader that is slow; a real one holds less, but is slower, too."""
_PROBE_TIMEOUT_S = 5.0


class VirtualBoard:
    """A board whose cable carries its power, its serial port and its probe.

    Args:
        name: Unique in the lab.
        board: Its definition.
        port: Where its serial port is found while it is plugged in; a symbolic link.
        flash: The path that the files of its flash begin with.
        directory: For sockets.
        loop: Runs it.

    Attributes:
        flashed: How many times a debugger wrote to it and let it go.
    """

    def __init__(
        self, name: str, board: Board, port: Path, flash: Path, directory: Path, loop: Loop
    ) -> None:
        self.name = name
        self.port = port
        self.flashed = 0
        self._loop = loop
        self._machine = Machine(board, directory, flash, loop, self._pass_to_port)
        self._master = -1
        self._waiting = bytearray()  # for a reader at the port
        self._wants_write = False
        self._listener: socket.socket | None = None
        self._gdb: socket.socket | None = None
        self._stub: socket.socket | None = None
        self._splitter = PacketSplitter()
        self._written = False
        self._fails_after: int | None = None
        # Keeps the number of the probe's TCP port while nothing listens there.
        self._reserved = _bound_socket(0)

    @property
    def probe(self) -> str:
        """The address of the probe's gdb server."""
        host, port = self._reserved.getsockname()
        return f"{host}:{port}"

    def status(self) -> dict[str, object]:
        """How it is."""
        return {
            "plugged": self._listener is not None,
            "powered": self._machine.is_on,
            "flashed": self.flashed,
        }

    def plug(self) -> None:
        """Plug the cable in: there is power, a port and a probe."""
        if self._listener is not None:
            return
        self._machine.start()
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        _link(self.port, os.ttyname(slave))
        os.close(slave)
        os.set_blocking(self._master, False)
        # By edges: as long as nobody has the port open, it reports just that all the time.
        self._loop.watch(self._master, self._take_from_port, edge=True)
        self._listener = _bound_socket(self._reserved.getsockname()[1])
        self._listener.listen()
        self._loop.watch(self._listener.fileno(), self._accept_debugger)

    def unplug(self) -> None:
        """Pull the cable."""
        if self._listener is None:
            return
        self.power_off()
        self._loop.forget(self._listener.fileno())
        self._listener.close()
        self._listener = None
        self.port.unlink(missing_ok=True)
        self._loop.forget(self._master)
        os.close(self._master)
        self._master = -1
        self._waiting.clear()
        self._wants_write = False

    def power_off(self) -> None:
        """Switch the chip's power off; the port stays, and the probe sees no chip."""
        self._drop_debugger()
        self._machine.stop()

    def power_on(self) -> None:
        """Switch it on again, if the cable is in."""
        if self._listener is not None:
            self._machine.start()

    def reset(self) -> None:
        """Press the reset button."""
        self._machine.reset()

    def fail_power_after(self, packets: int) -> None:
        """Have the power fail while the board is flashed: once, after so many writes."""
        self._fails_after = packets

    def close(self) -> None:
        """Take the board away; its flash stays."""
        self.unplug()
        self._reserved.close()

    # ---- the serial port ----

    def _take_from_port(self) -> None:
        """Take what a program wrote to the port, and give it what waits for it."""
        while True:
            try:
                data = os.read(self._master, _READ_BYTES)
            except BlockingIOError:
                break
            except OSError:  # nobody has it open
                self._waiting.clear()
                return
            self._machine.send(data)
        self._empty_waiting()

    def _pass_to_port(self, data: bytes) -> None:
        if self._master < 0 or self._is_closed() or len(self._waiting) > _MAX_WAITING_BYTES:
            self._waiting.clear()
            return
        self._waiting += data
        self._empty_waiting()

    def _empty_waiting(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._waiting:
                del self._waiting[: os.write(self._master, self._waiting)]
        if bool(self._waiting) != self._wants_write:
            self._wants_write = bool(self._waiting)
            self._loop.want_write(self._master, self._wants_write, edge=True)

    def _is_closed(self) -> bool:
        """Whether nobody has the port open: what is sent then is lost."""
        poll = select.poll()
        poll.register(self._master, 0)
        return bool(poll.poll(0))

    # ---- the probe ----

    def _accept_debugger(self) -> None:
        assert self._listener is not None
        connection, _address = self._listener.accept()
        if self._gdb is not None and _has_ended(self._gdb):  # it came right after another
            self._take_from_debugger()
        if self._gdb is not None or not self._machine.is_on:
            connection.close()
            return
        stub = socket.socket(socket.AF_UNIX)
        try:
            stub.connect(str(self._machine.gdb_socket))
        except OSError:
            stub.close()
            connection.close()
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._gdb, self._stub, self._splitter = connection, stub, PacketSplitter()
        for end in (connection, stub):
            end.settimeout(_PROBE_TIMEOUT_S)
        self._loop.watch(connection.fileno(), self._take_from_debugger)
        self._loop.watch(stub.fileno(), self._take_from_stub)

    def _take_from_debugger(self) -> None:
        assert self._gdb is not None
        try:
            data = self._gdb.recv(_READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._keep_what_was_written()
            self._drop_debugger()
            return
        for packet in self._splitter.feed(data):
            if packet.effect is Effect.WRITES:
                if not self._written and self._machine.has_flash_at(packet.address):
                    self._machine.reset_halted()
                self._written = True
                if self._power_fails():
                    return
            elif packet.effect is not Effect.NONE:
                self._keep_what_was_written()
                if packet.effect is Effect.RESETS:
                    self._machine.forget_input()
            if self._stub is not None:
                with contextlib.suppress(OSError):
                    self._stub.sendall(packet.data)

    def _take_from_stub(self) -> None:
        assert self._stub is not None
        assert self._gdb is not None
        try:
            data = self._stub.recv(_READ_BYTES)
            self._gdb.sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop_debugger()

    def _power_fails(self) -> bool:
        if self._fails_after is None:
            return False
        self._fails_after -= 1
        if self._fails_after >= 0:
            return False
        self._fails_after = None
        self.power_off()
        return True

    def _keep_what_was_written(self) -> None:
        """Keep the flash before its program runs: that may lock the chip up, which ends QEMU."""
        if self._written:
            self._written = False
            self.flashed += 1
            self._machine.keep_flash()

    def _drop_debugger(self) -> None:
        for end in (self._gdb, self._stub):
            if end is not None:
                self._loop.forget(end.fileno())
                end.close()
        self._gdb = self._stub = None
        self._written = False


def _bound_socket(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def _has_ended(connection: socket.socket) -> bool:
    """Whether the far end has hung up, and all that it sent has been read."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _link(path: Path, target: str) -> None:
    """Make a symbolic link, also in place of another."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(path)
