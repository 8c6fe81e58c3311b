"""A Project API server for a built project of an emulated board, at the end of a slow serial line.

A copy of it stands in the project as `microtvm_api_server.py`; `line.json` there says how to start
the line: a command that prints the path of a terminal.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import tty
from typing import Any

from pytest_microtvm.project import server
from pytest_microtvm.project.server.process import die_with_parent


class SerialLine(server.ProjectAPIHandler):
    """Opens the terminal."""

    def __init__(self) -> None:
        self._directory = pathlib.Path(__file__).absolute().parent
        self._line: subprocess.Popen[str] | None = None
        self._fd = -1

    def server_info_query(self, tvm_version: str) -> server.ServerInfo:
        """See the Project API."""
        return server.ServerInfo("serial", False, self._directory / "model.tar", [])

    def generate_project(
        self,
        model_library_format_path: pathlib.Path,
        standalone_crt_dir: pathlib.Path,
        project_dir: pathlib.Path,
        options: dict[str, Any],
    ) -> None:
        """Not offered."""
        raise NotImplementedError

    def build(self, options: dict[str, Any]) -> None:
        """Nothing to do."""

    def flash(self, options: dict[str, Any]) -> None:
        """Nothing to do."""

    def open_transport(self, options: dict[str, Any]) -> server.TransportTimeouts:
        """Start the line and open its terminal."""
        command = json.loads((self._directory / "line.json").read_text())
        self._line = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent()
        )
        assert self._line.stdout is not None
        path = self._line.stdout.readline().strip()
        self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._fd)
        return server.TransportTimeouts(1.0, 20.0, 0.0)

    def close_transport(self) -> None:
        """End the line."""
        if self._line is not None:
            os.close(self._fd)
            self._line.kill()
            self._line.communicate()
            self._line = None

    def read_transport(self, n: int, timeout_sec: float | None) -> bytes:
        """See the Project API."""
        return server.read_with_timeout(self._fd, n, timeout_sec)

    def write_transport(self, data: bytes, timeout_sec: float | None) -> None:
        """See the Project API."""
        if server.write_with_timeout(self._fd, data, timeout_sec) < len(data):
            raise server.IoTimeoutError


if __name__ == "__main__":
    server.main(SerialLine())
