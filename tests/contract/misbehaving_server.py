"""A Project API server whose device is a `FakeDevice`."""

from __future__ import annotations

import pathlib
from typing import Any

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import TransportClosed, TransportTimeout
from pytest_microtvm.project import server
from tests.contract.fake_device import FakeDevice, FakeTransport


class Misbehaving(server.ProjectAPIHandler):
    """Opens a fake device."""

    def __init__(self, behaviour: str) -> None:
        self._transport = FakeTransport(FakeDevice(behaviour))

    def server_info_query(self, tvm_version: str) -> server.ServerInfo:
        return server.ServerInfo("fake", False, pathlib.Path("model.tar"), [])

    def generate_project(
        self,
        model_library_format_path: pathlib.Path,
        standalone_crt_dir: pathlib.Path,
        project_dir: pathlib.Path,
        options: dict[str, Any],
    ) -> None:
        raise NotImplementedError

    def build(self, options: dict[str, Any]) -> None:
        raise NotImplementedError

    def flash(self, options: dict[str, Any]) -> None:
        raise NotImplementedError

    def open_transport(self, options: dict[str, Any]) -> server.TransportTimeouts:
        timeouts = self._transport.open(Deadline(1.0))
        return server.TransportTimeouts(
            timeouts.session_start_retry_timeout_s,
            timeouts.session_start_timeout_s,
            timeouts.session_established_timeout_s,
        )

    def close_transport(self) -> None:
        self._transport.close()

    def read_transport(self, n: int, timeout_sec: float | None) -> bytes:
        try:
            return self._transport.read(n, Deadline(timeout_sec or 0.0))
        except TransportTimeout:
            raise server.IoTimeoutError from None
        except TransportClosed:
            raise server.TransportClosedError(data={"message": "the emulator ended"}) from None

    def write_transport(self, data: bytes, timeout_sec: float | None) -> None:
        self._transport.write(data, Deadline(timeout_sec or 0.0))
