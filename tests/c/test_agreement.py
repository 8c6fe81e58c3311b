"""The decoders in C and in Python on generated streams; `scripts/bench wire` runs a million."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from pytest_microtvm.session.wire.framing import FrameDecoder
from tests.c.agreement import CAPACITY_BYTES, Streams, agree, describe, find_difference
from tests.c.toolchain import build_wire_tool, find_compiler

STREAMS = 20_000


@pytest.fixture(scope="session")
def wire_tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    find_compiler("gcc", "apt-get install gcc libc6-dev")
    return build_wire_tool(tmp_path_factory.mktemp("wire_tool"))


@pytest.mark.parametrize("seed", [100, 101])
def test_c_and_python_agree(wire_tool: Path, seed: int) -> None:
    assert find_difference(wire_tool, STREAMS, seed) is None


def test_the_streams_hold_everything() -> None:
    words: Counter[str] = Counter()
    for stream in islice(Streams(1), 5000):
        for word in describe(FrameDecoder(CAPACITY_BYTES).feed(stream)):
            event, *fields = word.split(",")
            outcome = fields[-1] if fields and fields[-1] in ("bad", "damaged", "short") else "good"
            words[f"{event} {outcome}"] += 1
    kinds = ("frame good", "frame bad", "frame damaged", "bad_crc good", "broken good")
    for event in (*kinds, "too_large good"):
        assert words[event] > 100, words
    assert words["frame short"] > 0


def test_only_a_frame_too_large_may_be_told_differently() -> None:
    assert agree(["broken", "too_large"], ["broken", "bad_crc"])
    assert agree(["too_large"], [])
    assert not agree(["too_large"], ["frame,1,1"])
    assert not agree(["bad_crc"], ["too_large"])
    assert not agree(["frame,1,1"], [])
    assert not agree([], ["broken"])
