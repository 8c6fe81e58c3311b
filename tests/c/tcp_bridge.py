"""A small bridge for tests: one TVM RPC client on TCP, one device on pipes, a process of its own.

usage: python -m tests.c.tcp_bridge SERVER_PROGRAM PACKET_BYTES TIMEOUT_S EXECUTOR POOL_BYTES

Prints its port, then one line per packet that went to the device: code and size, length field not
counted. Leaves when the client does, or when the time is up.
"""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

from pytest_microtvm.session.wire import rpc
from tests.c.device import Device


def main(program: str, packet_bytes: str, timeout_s: str, executor: str, pool_bytes: str) -> None:
    signal.alarm(int(timeout_s))
    with (
        Device(Path(program), int(packet_bytes), executor, int(pool_bytes)) as device,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        report(listener.getsockname()[1])
        connection, _ = listener.accept()
        with connection:
            serve(connection, device)


def report(*numbers: int) -> None:
    sys.stdout.write(" ".join(map(str, numbers)) + "\n")
    sys.stdout.flush()


def serve(connection: socket.socket, device: Device) -> None:
    received = b""
    while (greeting := rpc.parse_greeting(received)) is None:
        received += connection.recv(4096)
    connection.sendall(rpc.greeting_reply("server:test"))
    device.start()
    splitter = rpc.PacketSplitter()
    data = greeting[1]
    while True:
        for packet in splitter.feed(data):
            report(rpc.packet_code(packet), len(packet) - 8)
            if rpc.packet_code(packet) == rpc.RpcCode.SHUTDOWN:
                device.write(device.session.send(packet))
                return
            connection.sendall(device.ask(packet))
        data = connection.recv(65536)
        if not data:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
