"""The golden vectors, for the tests of both implementations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

_VECTORS = json.loads((Path(__file__).parent / "frames.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class FrameVector:
    """A payload and its frame."""

    name: str
    payload: bytes
    wire: bytes


@dataclass(frozen=True)
class StreamVector:
    """A byte stream and what a receiver of limited size reports on it."""

    name: str
    capacity_bytes: int
    wire: bytes
    events: tuple[tuple[str, ...], ...]


FRAMES = tuple(
    FrameVector(each["name"], bytes.fromhex(each["payload"]), bytes.fromhex(each["wire"]))
    for each in _VECTORS["frames"]
)
STREAMS = tuple(
    StreamVector(
        each["name"],
        each["capacity_bytes"],
        bytes.fromhex(each["wire"]),
        tuple(map(tuple, each["events"])),
    )
    for each in _VECTORS["streams"]
)
