"""Runs beside another user of the machine who connects to every port that they open.

Each run that is disturbed has an undisturbed one beside it in time, so that a busy machine slows
both; there the stranger watches all the same, which takes a core. The stranger waits for new ports
of this user on loopback and at once makes connections of each kind: one that says nothing, one that
says garbage, one that says a byte a second, and ten at once. Every run has to end with a verdict,
none of them more than a second later.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import statistics
import struct
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_microtvm.process import die_with_parent
from scripts.benchmarks.signals import TIMEOUT_S, Runs

LATER_S = 1.0
USER = 65534
"""The user "nobody"."""
MAGIC = 0xFF271
SLOW = struct.pack("<ii", MAGIC, 4096)
"""How a greeting of 4096 bytes begins."""
GARBAGE = b"GET / HTTP/1.1\r\n\r\n" + bytes(range(256)) * 4
KINDS = ("nothing", "garbage", "slow", *["one of ten"] * 10)
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
REQUEST_DUMP = 0x301
TCP_LISTEN = 10


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench strangers`."""
    parser = commands.add_parser("strangers", help="runs beside another user who connects")
    parser.add_argument("--runs", type=int, default=20, help="how many (default 20)")
    parser.add_argument("--board", default="qemu_x86", help="the board (default qemu_x86)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run in pairs and compare; 0 when all had a verdict and none of them came late."""
    if os.geteuid() != 0:
        print("only root can become another user: the stranger is this user", flush=True)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    passed, connections = 0, []
    with tempfile.TemporaryDirectory() as name:
        runs = Runs(Path(name), arguments.board)
        for _ in range(2):
            runs.start(0, cached=True).wait(TIMEOUT_S)  # so that it is warm
        for number in range(arguments.runs):
            for disturbed in (number % 2 == 0, number % 2 == 1):
                with stranger(connects=disturbed) as made:
                    start = time.monotonic()
                    status = runs.start(0, cached=True).wait(TIMEOUT_S)
                    seconds[disturbed].append(time.monotonic() - start)
                if disturbed:
                    passed += status == 0
                    connections += made
                if status != 0:
                    print(runs.output.read_text(errors="replace"), flush=True)
    later = [after - before for after, before in zip(seconds[True], seconds[False], strict=True)]
    for disturbed, what in ((False, "undisturbed"), (True, "beside a stranger")):
        median, most = statistics.median(seconds[disturbed]), max(seconds[disturbed])
        print(f"{what}: median {median:.2f} s, slowest {most:.2f} s")
    print(
        f"{passed} of {arguments.runs} passed beside a stranger, who connected {sum(connections)} "
        f"times, at least {min(connections)} in a run; later than its pair: median "
        f"{statistics.median(later):.2f} s, at most {max(later):.2f} s"
    )
    late = max(seconds[True]) - max(seconds[False]) > LATER_S or statistics.median(later) > LATER_S
    return 1 if passed < arguments.runs or late else 0


@contextlib.contextmanager
def stranger(*, connects: bool) -> Iterator[list[int]]:
    """A process of another user that connects meanwhile; afterwards, how often it did."""
    made: list[int] = []
    read_fd, write_fd = os.pipe()
    user, before, parent = os.geteuid(), listening(os.geteuid()), os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            die_with_parent(parent)
            if user == 0:
                os.setgroups([])
                os.setgid(USER)
                os.setuid(USER)
            molest(user, before, write_fd, KINDS if connects else ())
        finally:
            os._exit(1)
    os.close(write_fd)
    try:
        yield made
    finally:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), "the stranger ended by itself"
        with os.fdopen(read_fd, "rb") as told:
            made.append(len(told.read()))


def molest(user: int, before: set[int], told_fd: int, kinds: Sequence[str]) -> None:
    """Connect to whatever port opens, and write a byte for each connection; never ends."""
    slow: list[tuple[float, socket.socket]] = []
    kept = []
    known = set(before)
    while True:
        found = listening(user)
        for port in found - known:
            for kind in kinds:
                with contextlib.suppress(OSError):
                    connection = socket.socket()
                    connection.settimeout(1.0)
                    connection.connect(("127.0.0.1", port))
                    kept.append(connection)
                    os.write(told_fd, b".")
                    if kind == "garbage":
                        connection.sendall(GARBAGE)
                    elif kind == "slow":
                        connection.sendall(SLOW)
                        slow.append((time.monotonic() + 1.0, connection))
        known = found  # a port that is closed may be opened again
        for at, (end, connection) in enumerate(slow):
            if time.monotonic() >= end:
                slow[at] = (end + 1.0, connection)
                with contextlib.suppress(OSError):
                    connection.sendall(b"x")


def listening(user: int) -> set[int]:
    """The ports of loopback at which processes of a user listen.

    From the kernel's sock_diag (linux/inet_diag.h): /proc/net/tcp takes longer to read than a port
    of ours is open.
    """
    found: set[int] = set()
    request = struct.pack("=BBxxI48x", socket.AF_INET, socket.IPPROTO_TCP, 1 << TCP_LISTEN)
    header = struct.pack("=IHHII", 16 + len(request), SOCK_DIAG_BY_FAMILY, REQUEST_DUMP, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as netlink:
        netlink.sendall(header + request)
        while True:
            data = netlink.recv(1 << 16)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind != SOCK_DIAG_BY_FAMILY:
                    return found
                port, address, owner = struct.unpack_from(
                    "!4xH2x4s", data, 16
                ) + struct.unpack_from("=I", data, 16 + 64)
                if owner == user and address == b"\x7f\0\0\1":
                    found.add(port)
                data = data[(length + 3) & ~3 :]
