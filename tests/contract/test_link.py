"""What a device can do wrong, and the error that each gives: over the whole path, and in time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.boards import Board, Cpu, PlatformTable
from pytest_microtvm.errors import (
    MicroTVMError,
    ProtocolError,
    TargetError,
    TransportClosed,
    TransportError,
    TransportTimeout,
)
from pytest_microtvm.mlf.library import ModelLibrary, TensorSpec
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.device import Session
from tests.contract.fake_device import BUILD_ID, COUNT, LOG, SIZE_BYTES
from tests.patience import PATIENCE_S

OPEN_TIMEOUT_S = 4.0
CALL_TIMEOUT_S = 0.6
MAX_CONNECTIONS = 32  # of a process, by TVM's client
X = np.arange(COUNT, dtype=np.float32)

SERVER = """\
import sys
sys.path.insert(0, {root!r})
from pytest_microtvm.project import server
from tests.contract.misbehaving_server import Misbehaving

if __name__ == "__main__":
    server.main(Misbehaving({behaviour!r}))
"""

AT_THE_START: dict[str, tuple[type[MicroTVMError], str]] = {
    "silent": (TransportTimeout, "is silent: no byte of an answer to the start of a session"),
    "babbling": (TransportTimeout, "the device babbles: "),
    "resetting in a loop": (TransportError, "keeps resetting: it started 9 times"),
    "another version": (ProtocolError, "speaks version 02 of the session protocol"),
    "another shape": (ProtocolError, "a tensor of float32 (5,); x is float32 (4,)"),
    "wrong session at the start": (TransportTimeout, "it sent a start reply of session 0x"),
}
IN_A_CALL: dict[str, tuple[type[MicroTVMError], str]] = {
    "stuck in a call": (
        TransportTimeout,
        "logs, but does not answer a call of microtvm.model.run; nor the start of a session",
    ),
    "loses a request": (TransportTimeout, "the request or its answer was lost"),
    "ends the session": (TransportClosed, "the device ended the session"),
    "resets in a call": (TransportClosed, "was reset: it has started anew in the middle"),
    "wrong session id": (TransportTimeout, "it sent a packet of session 0x"),
    "an old answer": (TransportTimeout, "it sent the answer to request"),
    "damaged frame": (ProtocolError, "a damaged frame: the checksum does not match"),
    "oversized frame": (ProtocolError, "a damaged frame: longer than the receiver allows"),
    "stops in a frame": (TransportTimeout, "stopped in the middle of a frame"),
    "wrong kind of reply": (ProtocolError, "answer to a call makes no sense: it has code 8"),
    "malformed reply": (ProtocolError, "makes no sense: 2000000000 values announced"),
    "dies": (TransportClosed, "is gone during a call of microtvm.model.run: the emulator ended"),
    "answers with text": (ProtocolError, "with 'soon', not with seconds"),
    "raises": (TargetError, "run: out of luck (status -7)"),
}


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Callable[[str], Session]]:
    """Make a session with a device that behaves in a certain way."""
    sessions = []

    def make(behaviour: str) -> Session:
        root = str(Path(__file__).absolute().parents[2])
        server = SERVER.format(root=root, behaviour=behaviour)
        (tmp_path / "microtvm_api_server.py").write_text(server)
        session = Session(firmware_at(tmp_path), CALL_TIMEOUT_S, open_timeout_s=OPEN_TIMEOUT_S)
        sessions.append(session)
        return session

    yield make
    for session in sessions:
        session.close()


def firmware_at(directory: Path) -> Firmware:
    specs = [TensorSpec(name, (COUNT,), "float32", SIZE_BYTES) for name in "xy"]
    return Firmware(
        project_dir=directory,
        build_id=BUILD_ID,
        board=Board("fake", Cpu("fake"), (PlatformTable("fake"),)),
        executor="aot",
        library=ModelLibrary(
            path=directory,
            name="double",
            inputs=(specs[0],),
            outputs=(specs[1],),
            workspace_bytes=0,
            constants_bytes=0,
            executors=("aot",),
            sha256="",
            metadata={},
        ),
        elf=None,
        image=None,
        cached=False,
        generate_s=0.0,
        build_s=0.0,
    )


def test_a_device_that_behaves(session: Callable[[str], Session]) -> None:
    with session("") as device:
        assert (device.run({"x": X})["y"] == 2 * X).all()


@pytest.mark.parametrize("behaviour", AT_THE_START)
def test_misbehaviour_at_the_start(session: Callable[[str], Session], behaviour: str) -> None:
    kind, text = AT_THE_START[behaviour]
    start = time.monotonic()
    with pytest.raises(kind) as caught:
        session(behaviour).open()
    assert time.monotonic() - start < OPEN_TIMEOUT_S + PATIENCE_S
    assert text in str(caught.value)
    assert type(caught.value) is kind
    if behaviour == "babbling":
        assert "device log: What is the matter with you" in caught.value.details
        assert len(caught.value.details) < 5000
    if behaviour == "resetting in a loop":
        assert "device log: boot 1.2" in caught.value.details


@pytest.mark.parametrize("behaviour", IN_A_CALL)
def test_misbehaviour_in_a_call(session: Callable[[str], Session], behaviour: str) -> None:
    kind, text = IN_A_CALL[behaviour]
    device = session(behaviour)
    device.open()
    start = time.monotonic()
    with pytest.raises(kind) as caught:
        device.run({"x": X})
    assert time.monotonic() - start < CALL_TIMEOUT_S + PATIENCE_S
    assert text in str(caught.value)
    assert type(caught.value) is kind
    if behaviour in ("stuck in a call", "loses a request", "resets in a call"):
        assert f"device log: {LOG}" in caught.value.details
    start = time.monotonic()
    device.close()
    assert time.monotonic() - start < PATIENCE_S


def test_broken_sessions_do_not_use_up_tvms_connections(
    session: Callable[[str], Session],
) -> None:
    gc.disable()  # it would help by chance
    try:
        for _ in range(MAX_CONNECTIONS + 2):
            with session("dies") as device, pytest.raises(TransportClosed):
                device.run({"x": X})
    finally:
        gc.enable()


def test_every_misbehaviour_has_a_text_of_its_own() -> None:
    texts = [text for _kind, text in (*AT_THE_START.values(), *IN_A_CALL.values())]
    assert len(set(texts)) == len(texts) >= 10
