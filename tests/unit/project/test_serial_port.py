"""Serial ports: devices, URLs, USB ids, modem lines."""

from __future__ import annotations

import os
import pty
import socket
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import serial.rfc2217
from serial.tools import list_ports

from pytest_microtvm.project import server
from pytest_microtvm.project.server.serial_port import (
    PortBusyError,
    SerialTransport,
    chosen_serial_number,
    find_usb_port,
    holder_of,
)
from tests.patience import PATIENCE_S, wait_until


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """The far end of a port, and the port."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    os.close(slave)
    yield master, name
    os.close(master)


def test_bytes_go_both_ways(terminal: tuple[int, str]) -> None:
    master, name = terminal
    port = SerialTransport(name, 115200)
    port.write(b"there", 1.0)
    assert os.read(master, 100) == b"there"
    os.write(master, bytes(range(256)))
    received = b""
    while len(received) < 256:
        received += port.read(100, 1.0)
    assert received == bytes(range(256))  # no byte means anything to the port
    port.close()
    port.close()


def test_reads_and_writes_end_in_time(terminal: tuple[int, str]) -> None:
    port = SerialTransport(terminal[1], 115200)
    start = time.monotonic()
    with pytest.raises(server.IoTimeoutError):
        port.read(1, 0.2)
    with pytest.raises(server.IoTimeoutError) as caught:
        port.write(bytes(1 << 20), 0.2)  # nobody reads
    assert "of 1048576 bytes" in caught.value.data["message"]
    assert time.monotonic() - start < PATIENCE_S
    port.close()


def test_a_port_that_goes_away(terminal: tuple[int, str]) -> None:
    port = SerialTransport(terminal[1], 115200)
    os.close(terminal[0])
    for act in (lambda: port.read(1, 1.0), lambda: port.write(b"x", 1.0)):
        with pytest.raises(server.TransportClosedError) as caught:
            act()
        assert f"the port {terminal[1]} is gone" in caught.value.data["message"]
    port.close()
    os.dup2(os.open(os.devnull, os.O_RDONLY), terminal[0])  # for the fixture to close


def test_a_port_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_microtvm.project.server.serial_port.FOUND_IN_S", 0.2)
    with pytest.raises(server.ProjectError, match="is not there"):
        SerialTransport(str(tmp_path / "ttyNONE"), 115200)
    with pytest.raises(server.ProjectError, match="cannot be opened"):
        SerialTransport(str(tmp_path), 115200)  # a folder
    with pytest.raises(server.OptionError, match="cannot be used"):
        SerialTransport("gopher://nowhere", 115200)


def test_the_holder_of_a_port_is_named(terminal: tuple[int, str]) -> None:
    _, name = terminal
    assert holder_of(name) == ""
    port = SerialTransport(name, 115200)
    with pytest.raises(PortBusyError) as caught:
        SerialTransport(name, 115200)
    # This process has it: there is no other to be named.
    assert caught.value.data["message"] == f"the port {name} is in use"
    port.close()
    SerialTransport(name, 115200).close()


def test_a_program_that_knows_no_locks_is_noticed(terminal: tuple[int, str]) -> None:
    _, name = terminal
    pid = os.fork()
    if pid == 0:
        os.open(name, os.O_RDWR | os.O_NOCTTY)
        time.sleep(30)
        os._exit(0)
    try:
        wait_until(lambda: holder_of(name))
        with pytest.raises(PortBusyError) as caught:
            SerialTransport(name, 115200)
        assert f"by process {pid} (" in caught.value.data["message"]
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def read_to_the_end(port: SerialTransport) -> None:
    while True:
        port.read(4096, 1.0)


def test_a_socket_url() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = SerialTransport(f"socket://127.0.0.1:{listener.getsockname()[1]}", 115200)
        far, _ = listener.accept()
        with far:
            port.write(b"hello", 1.0)
            assert far.recv(10) == b"hello"
            far.sendall(bytes(1000))
            assert len(port.read(4096, 1.0)) > 1
        with pytest.raises(server.TransportClosedError):
            read_to_the_end(port)
        port.close()
    with pytest.raises(server.ProjectError, match="cannot be opened") as caught:
        SerialTransport("socket://127.0.0.1:1", 115200)
    assert "is the machine up" in caught.value.data["cure"]


class Line:
    """What a port server has: notes what the modem lines and the speed are set to."""

    def __init__(self) -> None:
        self.log: list[tuple[str, object]] = []

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name != "log":
            self.log.append((name, value))

    def __getattr__(self, name: str) -> Any:
        start = {"baudrate": 9600, "bytesize": 8, "parity": "N", "stopbits": 1}
        if name in start:
            return start[name]
        if name in ("cts", "dsr", "ri", "cd", "xonxoff", "rtscts"):
            return False
        if name in ("reset_input_buffer", "reset_output_buffer"):
            return lambda: None
        raise AttributeError(name)


OLD_WORDS = pytest.mark.filterwarnings(
    "ignore:set(Daemon|Name):DeprecationWarning"
)  # pyserial's own


@pytest.fixture
def rfc2217() -> Iterator[tuple[str, Line]]:
    """A port server as pyserial's examples have one: it echoes, and notes the lines."""
    line = Line()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("wb", buffering=0) as file:
                manager = serial.rfc2217.PortManager(cast(Any, line), cast(Any, file))
                while data := connection.recv(1024):
                    received = b"".join(manager.filter(data))
                    file.write(b"".join(manager.escape(received)))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"rfc2217://127.0.0.1:{listener.getsockname()[1]}", line
        thread.join(5)
        assert not thread.is_alive()


@OLD_WORDS
def test_an_rfc2217_url(rfc2217: tuple[str, Line]) -> None:
    url, line = rfc2217
    port = SerialTransport(url, 57600)
    assert ("baudrate", 57600) in line.log
    data = bytes(range(256))
    port.write(data, 2.0)
    received = b""
    while len(received) < len(data):
        received += port.read(4096, 2.0)
    assert received == data
    with pytest.raises(server.IoTimeoutError):
        port.read(1, 0.1)
    port.close()


@OLD_WORDS
@pytest.mark.parametrize("name", ["dtr", "rts"])
def test_a_board_is_reset_by_a_modem_line(rfc2217: tuple[str, Line], name: str) -> None:
    url, line = rfc2217
    port = SerialTransport(url, 115200, name)
    assert [value for key, value in line.log if key in ("dtr", "rts")] == [False, False]
    line.log.clear()
    port.reset_board(name)
    wait_until(lambda: len(line.log) >= 2)
    assert line.log[:2] == [(name, True), (name, False)]
    port.close()


class UsbPort(SimpleNamespace):
    def __lt__(self, other: UsbPort) -> bool:
        return bool(self.device < other.device)


@pytest.fixture
def usb(monkeypatch: pytest.MonkeyPatch) -> list[UsbPort]:
    ports = [
        UsbPort(device="/dev/ttyACM1", vid=0x0483, pid=0x374B, serial_number="B"),
        UsbPort(device="/dev/ttyACM0", vid=0x0483, pid=0x374B, serial_number="A"),
        UsbPort(device="/dev/ttyUSB0", vid=0x10C4, pid=0xEA60, serial_number=None),
        UsbPort(device="/dev/ttyS0", vid=None, pid=None, serial_number=None),
    ]
    monkeypatch.setattr(list_ports, "comports", lambda: ports)
    return ports


def test_a_port_is_found_by_its_usb_id(usb: list[UsbPort]) -> None:
    assert find_usb_port(["0483:374b:B"]) == "/dev/ttyACM1"
    assert find_usb_port(["10C4:EA60"]) == "/dev/ttyUSB0"
    assert find_usb_port(["dead:beef", "10c4:ea60"]) == "/dev/ttyUSB0"
    with pytest.raises(server.ProjectError) as caught:
        find_usb_port(["0483:374b"])
    assert "several boards are plugged in: /dev/ttyACM0 (0483:374b:A), /dev/ttyACM1" in str(
        caught.value
    )
    with pytest.raises(server.ProjectError, match="no board with the USB id 0483:374b:C"):
        find_usb_port(["0483:374b:C"])
    with pytest.raises(server.OptionError, match="'nonsense' is no USB id"):
        find_usb_port(["nonsense"])


def test_of_several_serial_numbers_the_one_that_is_plugged_in_is_taken(usb: list[UsbPort]) -> None:
    assert chosen_serial_number(["Z", "B", "A"]) == "B"
    assert chosen_serial_number("Z A") == "A"
    assert chosen_serial_number(["Y", "Z"]) == "Y"
    assert chosen_serial_number("C") == "C"
    assert chosen_serial_number(None) == ""
