"""Which servers are started as forks: those of this package's own platforms.

A bridge, which has no threads and is to end with its server, forks itself; others have a fork
server (see `forks`). The servers of other platforms, and any that a user changed, run in a Python
of their own: nobody knows what they expect of it.
"""

from __future__ import annotations

from pathlib import Path

from pytest_microtvm.forks import Program

_PLATFORMS = Path(__file__).absolute().parents[1] / "platforms"
_SERVER = "pytest_microtvm.project.server"

PRELOAD = (
    *("argparse", "serial", "tarfile", _SERVER),
    *(f"{_SERVER}.{name}" for name in ("archive", "compiler_cache", "interface", "standalone")),
    *(f"{_SERVER}.{name}" for name in ("flash_methods", "gdb_remote", "mass_storage")),
    f"{_SERVER}.serial_port",
)
"""What a server imports that makes a project, builds it, opens a device or flashes a board."""


def server_program(server: Path) -> Program | None:
    """A server as a program that can be a fork; None where it is not our own.

    Args:
        server: Its `microtvm_api_server.py`, of a template or of a project.
    """
    text = server.read_bytes()
    if any(text == own.read_bytes() for own in _PLATFORMS.glob(f"*/{server.name}")):
        return Program(str(server), PRELOAD)
    return None
