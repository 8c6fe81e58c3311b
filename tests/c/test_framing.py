"""The framing code in C against the golden vectors, and against the one in Python."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from pytest_microtvm.session.wire.framing import encode
from tests.c.vectors import FRAMES, STREAMS, FrameVector, StreamVector

TIMEOUT_S = 10


def run(program: Path, *arguments: str, data: bytes) -> bytes:
    completed = subprocess.run(
        [program, *arguments], input=data, capture_output=True, timeout=TIMEOUT_S
    )
    assert (completed.returncode, completed.stderr) == (0, b"")
    return completed.stdout


@pytest.mark.parametrize("vector", FRAMES, ids=lambda vector: vector.name)
def test_encodes(frame_tool: Path, vector: FrameVector) -> None:
    assert run(frame_tool, "encode", data=vector.payload) == vector.wire


@pytest.mark.parametrize("vector", STREAMS, ids=lambda vector: vector.name)
def test_decodes(frame_tool: Path, vector: StreamVector) -> None:
    output = run(frame_tool, "decode", str(vector.capacity_bytes), data=vector.wire)
    assert [tuple(line.split()) for line in output.decode().splitlines()] == list(vector.events)


def test_both_implementations_agree_on_random_payloads(frame_tool: Path) -> None:
    generator = random.Random(20)
    payloads = [
        bytes(generator.choice((0xFF, 0xFD, 0xFE, generator.randrange(256))) for _ in range(size))
        for size in (generator.randrange(1, 600) for _ in range(100))
    ]
    stream = b"".join(map(encode, payloads))
    output = run(frame_tool, "decode", "600", data=stream).decode()
    assert output.splitlines() == [f"frame {payload.hex()}" for payload in payloads]
    for payload in payloads[:5]:
        assert run(frame_tool, "encode", data=payload) == encode(payload)
