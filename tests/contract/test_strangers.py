"""Strangers at the bridge's port, before the client: the session opens all the same."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

import numpy as np
import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.errors import TransportTimeout
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session import device
from pytest_microtvm.session.admission import GREETING_TIMEOUT_S
from pytest_microtvm.session.device import Session
from pytest_microtvm.session.rpc import RpcClient, RpcError
from tests.contract.libraries import DOUBLE
from tests.contract.sessions import build_firmware
from tests.contract.strangers import GREETINGS, connect, greeting

X = {"x": np.array([1.5, -2.0, 0.0, 3.0], np.float32)}


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    return build_firmware(tmp_path_factory.mktemp("double"), DOUBLE, load_boards()["host"])


def meet(monkeypatch: pytest.MonkeyPatch, strangers: Callable[[int], object]) -> None:
    """Have strangers connect to the port before the client does."""

    def connect_after(port: int, key: str) -> RpcClient:
        strangers(port)
        return RpcClient(port, key)

    monkeypatch.setattr(device, "RpcClient", connect_after)


def test_strangers_do_not_end_a_session_nor_delay_it(
    firmware: Firmware, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as connections:

        def strangers(port: int) -> None:
            texts = [*GREETINGS.values(), *[b""] * 10, greeting("x" * 4000)[:9]]
            for text in texts:
                connections.enter_context(connect(port, text))

        meet(monkeypatch, strangers)
        start = time.monotonic()
        with Session(firmware, 30.0) as session:
            assert np.array_equal(session.run(X)["y"], 2 * X["x"])
        assert time.monotonic() - start < GREETING_TIMEOUT_S


def test_a_client_that_never_comes_is_an_error(
    firmware: Firmware, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait_in_vain(port: int, key: str) -> RpcClient:
        connection: socket.socket = connect(port, b"")
        with connection:
            assert connection.recv(1) == b""
        raise RpcError("the connection broke")

    monkeypatch.setattr(device, "RpcClient", wait_in_vain)
    with pytest.raises(TransportTimeout, match="did not connect"):
        Session(firmware, 30.0, open_timeout_s=5.0).open()
