"""The chip of a virtual board: a QEMU process while there is power, its flash as files always."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_microtvm.boards import Board, Emulator, MemoryRegion
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import ConfigError, MicroTVMError
from pytest_microtvm.process import die_with_parent
from pytest_microtvm.virtual_lab.loop import Loop

START_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 5.0

_READ_BYTES = 1 << 16
_ERASED = 0xFF
_VECTOR_BYTES = 8
_READ_ONLY = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, rom\)")
"""A line of QEMU's map of memory."""
_NO_VECTORS = (bytes([_ERASED]) * _VECTOR_BYTES, bytes(_VECTOR_BYTES))


def check_board(board: Board) -> None:
    """Make sure that a virtual board of this kind can be.

    Raises:
        ConfigError: It has no emulator, no flash, or an emulator that needs the firmware to start.
    """
    emulator = board.emulator
    if emulator is None or board.flash is None or not _flash_regions(board):
        raise ConfigError(
            f"there is no virtual {board.name}: that takes an emulator, memory of kind flash, "
            "and a way to flash it",
            cure="see its definition, and docs/porting.md",
        )
    if any("{firmware}" in argument for argument in emulator.arguments):
        raise ConfigError(f"there is no virtual {board.name}: its emulator starts with a firmware")
    if shutil.which(emulator.program) is None:
        cure = f"install it: {emulator.install}" if emulator.install else ""
        raise ConfigError(f"{emulator.program} is not installed", cure=cure)


class Machine:
    """QEMU, started and killed as the power goes on and off.

    A chip without firmware, or whose firmware has given up (QEMU ends then), stands still until it
    is reset or loaded, as a real one does.

    Args:
        board: Its definition.
        directory: For sockets; its path is short.
        flash: The path that files of the flash's contents begin with.
        loop: Watches the process.
        on_output: Told what the chip sends at its serial port.
    """

    def __init__(
        self,
        board: Board,
        directory: Path,
        flash: Path,
        loop: Loop,
        on_output: Callable[[bytes], None],
    ) -> None:
        self._board = board
        self._directory = directory
        self._flash = flash
        self._loop = loop
        self._on_output = on_output
        self._process: subprocess.Popen[bytes] | None = None
        self._monitor: Monitor | None = None
        self._unread = -1  # the other end of QEMU's input, to take back what it did not read

    @property
    def is_on(self) -> bool:
        """Whether there is power."""
        return self._process is not None

    @property
    def gdb_socket(self) -> Path:
        """Where QEMU's gdb server listens."""
        return self._directory / "gdb"

    def start(self, *, halted: bool = False) -> None:
        """Switch the power on.

        Args:
            halted: Keep the chip from running.

        Raises:
            ConfigError: There cannot be a virtual board of this kind.
            MicroTVMError: QEMU does not start.
        """
        if self._process is not None:
            return
        for region in _flash_regions(self._board):
            if not self._file(region).exists():
                _write_atomically(self._file(region), bytes([_ERASED]) * region.bytes)
        for path in (self.gdb_socket, self._monitor_socket):
            path.unlink(missing_ok=True)
        parent = os.getpid()

        def prepare() -> None:
            die_with_parent(parent)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a chip that locks up aborts QEMU

        read_end, write_end = os.pipe()
        with open(self._directory / "qemu.log", "ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                bufsize=0,
                stdin=read_end,
                stdout=subprocess.PIPE,
                stderr=log,
                preexec_fn=prepare,
            )
        self._unread = read_end
        self._input = write_end
        for fd in (read_end, write_end):
            os.set_blocking(fd, False)
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._loop.watch(self._process.stdout.fileno(), self._take_output)
        try:
            self._monitor = Monitor(self._monitor_socket, self._process)
            self._check_flash(self._monitor)
        except MicroTVMError:
            self._end()
            raise
        if not halted:
            self._let_run()

    def _check_flash(self, monitor: Monitor) -> None:
        """Make sure that a reset keeps what was written: QEMU restores other than ROM."""
        tree = monitor.command("human-monitor-command", **{"command-line": "info mtree -f"})
        ranges = [(int(a, 16), int(b, 16)) for a, b in _READ_ONLY.findall(tree)]
        for region in _flash_regions(self._board):
            if not any(first <= region.origin <= last for first, last in ranges):
                raise ConfigError(
                    f"there is no virtual {self._board.name}: at a reset, QEMU forgets what was "
                    f"written to its memory {region.name}"
                )

    def stop(self) -> None:
        """Switch the power off; the flash keeps what it has."""
        with contextlib.suppress(MicroTVMError):  # a chip that gave up has been kept by then
            self.keep_flash()
        self._end()

    def keep_flash(self) -> None:
        """Write what the flash holds to its files.

        Raises:
            MicroTVMError: QEMU does not do it.
        """
        if self._monitor is None:
            return
        for region in _flash_regions(self._board):
            copy = self._directory / "flash"
            self._monitor.command(
                "pmemsave", val=region.origin, size=region.bytes, filename=str(copy)
            )
            shutil.move(copy, self._file(region))

    def reset(self) -> None:
        """Reset the chip, and let it run if it has a program.

        Raises:
            MicroTVMError: QEMU does not do it.
        """
        if self._monitor is not None:
            self.forget_input()
            self._monitor.command("system_reset")
            self.keep_flash()
            self._let_run()

    def has_flash_at(self, address: int) -> bool:
        """Whether an address is one of the flash's."""
        regions = _flash_regions(self._board)
        return any(0 <= address - region.origin < region.bytes for region in regions)

    def reset_halted(self) -> None:
        """Reset the chip that a debugger holds.

        A probe writes flash whatever the program's MPU says; QEMU asks the MPU, which a reset
        turns off.

        Raises:
            MicroTVMError: QEMU does not do it.
        """
        if self._monitor is not None:
            self._monitor.command("system_reset")

    def send(self, data: bytes) -> None:
        """Give bytes to the chip's serial port; what it cannot take is lost."""
        if self._process is not None:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self._input, data)

    def forget_input(self) -> None:
        """Lose what was sent to the chip while it did not listen."""
        with contextlib.suppress(BlockingIOError):
            while self._process is not None and os.read(self._unread, _READ_BYTES):
                pass

    def _let_run(self) -> None:
        assert self._monitor is not None
        if not self._is_blank():
            with contextlib.suppress(MicroTVMError):  # it locks up at once; QEMU's end is seen
                self._monitor.command("cont")

    def _take_output(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            data = os.read(self._process.stdout.fileno(), _READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._on_output(data)
            return
        # QEMU ended: the chip locked up, or its firmware gave up. It stands still, with power.
        self._end()
        self.start(halted=True)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
        assert process.stdout is not None
        self._loop.forget(process.stdout.fileno())
        process.kill()
        process.wait()
        process.stdout.close()
        for fd in (self._unread, self._input):
            os.close(fd)

    @property
    def _monitor_socket(self) -> Path:
        return self._directory / "monitor"

    def _command(self) -> list[str]:
        emulator = self._board.emulator
        assert isinstance(emulator, Emulator)
        images = [
            f"loader,file={_quoted(self._file(region))},addr=0x{region.origin:x},force-raw=on"
            for region in _flash_regions(self._board)
        ]
        # QEMU writes images into read-only memory once: a reset keeps what a debugger wrote there.
        return [
            emulator.program,
            *("-machine", emulator.machine),
            *emulator.arguments,
            *("-display", "none", "-nodefaults"),
            *("-chardev", "stdio,id=uart,signal=off", "-serial", "chardev:uart"),
            *("-chardev", f"socket,id=gdb,path={self.gdb_socket},server=on,wait=off"),
            *("-gdb", "chardev:gdb"),
            *("-chardev", f"socket,id=monitor,path={self._monitor_socket},server=on,wait=off"),
            *("-mon", "chardev=monitor,mode=control"),
            *(word for image in images for word in ("-device", image)),
            "-S",
        ]

    def _file(self, region: MemoryRegion) -> Path:
        return self._flash.with_name(f"{self._flash.name}.{region.name}")

    def _is_blank(self) -> bool:
        """Whether the flash begins with no program."""
        with open(self._file(_flash_regions(self._board)[0]), "rb") as file:
            return file.read(_VECTOR_BYTES) in _NO_VECTORS


class Monitor:
    """QEMU's machine protocol: one command at a time, each answered soon.

    Args:
        path: The socket that QEMU is about to open.
        process: QEMU.

    Raises:
        MicroTVMError: QEMU ended, or does not answer.
    """

    def __init__(self, path: Path, process: subprocess.Popen[bytes]) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._received = b""
        deadline = Deadline(START_TIMEOUT_S)
        while True:
            try:
                self._socket.connect(str(path))
                break
            except OSError as error:
                if process.poll() is not None or deadline.expired:
                    self._socket.close()
                    raise MicroTVMError(f"{process.args!r} does not start") from error
            time.sleep(0.002)
        self._socket.settimeout(COMMAND_TIMEOUT_S)
        self._answer()
        self.command("qmp_capabilities")

    def command(self, name: str, **arguments: Any) -> Any:
        """Run a command.

        Raises:
            MicroTVMError: It failed, or QEMU is gone.
        """
        request = {"execute": name, "arguments": arguments}
        try:
            self._socket.sendall(json.dumps(request).encode())
            while "event" in (answer := self._answer()):
                pass
        except OSError as error:
            raise MicroTVMError(f"QEMU's monitor: {name}: {error}") from error
        if "error" in answer:
            raise MicroTVMError(f"QEMU's monitor: {name}: {answer['error']['desc']}")
        return answer["return"]

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _answer(self) -> dict[str, Any]:
        while b"\n" not in self._received:
            data = self._socket.recv(_READ_BYTES)
            if not data:
                raise ConnectionError("QEMU has ended")
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _flash_regions(board: Board) -> list[MemoryRegion]:
    return [region for region in board.memory if region.kind == "flash"]


def _write_atomically(path: Path, data: bytes) -> None:
    copy = path.with_name(f"{path.name}.new")
    copy.write_bytes(data)
    copy.replace(path)


def _quoted(path: Path) -> str:
    """A path in an argument of QEMU's, where a comma ends a value."""
    return str(path).replace(",", ",,")
