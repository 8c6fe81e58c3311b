"""The platform `host`: the firmware is a program of this computer, run as a child process.

It is the reference that boards are compared with: same model code, same runtime, same session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_microtvm.project import server


class Host(server.MakeProjectHandler):
    """Builds with the host's compiler."""

    platform_name = "host"
    firmware = "build/firmware"

    def start_device(
        self, board: Mapping[str, Any], options: Mapping[str, Any]
    ) -> server.DeviceTransport:
        """Run the firmware."""
        return server.ChildTransport([str(self.directory / self.firmware)])


if __name__ == "__main__":
    server.main(Host(__file__))
