"""The C runtime, compiled for this machine with sanitizers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest

from tests.c.client import PACKET_BYTES, POOL_BYTES, start
from tests.c.device import Device
from tests.c.toolchain import PROGRAMS_DIR, build_program, build_runtime


@pytest.fixture(scope="session")
def sanitized_runtime(run_folder: Path) -> Path:
    """The runtime with sanitizers on, compiled once in a run."""
    folder = run_folder / "sanitized_runtime"
    with filelock.FileLock(f"{folder}.lock"):
        if not folder.exists():
            parts = folder.with_suffix(".new")
            parts.mkdir()
            build_runtime(parts)
            parts.rename(folder)
    return folder / "runtime.a"


@pytest.fixture(scope="session")
def host_server(sanitized_runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("host_server") / "host_server"
    return build_program([PROGRAMS_DIR / "host_server.c"], sanitized_runtime, output)


@pytest.fixture(scope="session")
def frame_tool(sanitized_runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("frame_tool") / "frame_tool"
    return build_program([PROGRAMS_DIR / "frame_tool.c"], sanitized_runtime, output)


@pytest.fixture
def device(host_server: Path) -> Iterator[Device]:
    """A running device; the test fails if a sanitizer had anything to say."""
    with Device(host_server, PACKET_BYTES) as running:
        yield running


@pytest.fixture
def session(device: Device) -> Device:
    """A device in an initialized session."""
    return start(device)


@pytest.fixture
def pool_session(host_server: Path) -> Iterator[Device]:
    """Likewise, with the host as the executor."""
    with Device(host_server, PACKET_BYTES, "host_driven", POOL_BYTES) as running:
        yield start(running)
