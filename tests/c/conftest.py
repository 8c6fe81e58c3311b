"""The C runtime, compiled for this machine with sanitizers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.c.client import PACKET_BYTES, POOL_BYTES, start
from tests.c.device import Device
from tests.c.toolchain import RUNTIME_DIR, build_program, runtime_sources


@pytest.fixture(scope="session")
def host_server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("host_server")
    return build_program("host_server", directory, runtime_sources())


@pytest.fixture(scope="session")
def frame_tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("frame_tool")
    return build_program("frame_tool", directory, [RUNTIME_DIR / "src" / "framing.c"])


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
