"""A cache that was damaged between two runs: the verdict is right, and a line tells of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugin.running import MODELS, Outcome, RunPytest, WarmCache

KINDS = ("mlf", "firmware", "reference", "counting")


@pytest.fixture
def cache(workspace: Path, warm_cache: WarmCache) -> Path:
    """A cache with a model for qemu_x86, for the test to damage."""
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")
    cache, _ = warm_cache("sine.tflite", "--microtvm-board=qemu_x86")
    return cache


@pytest.fixture
def run(run_pytest: RunPytest, cache: Path) -> Callable[[], Outcome]:
    """Run the model with that cache."""

    def run() -> Outcome:
        return run_pytest("sine.tflite", "--microtvm-board=qemu_x86", cache=cache, status=0)

    assert not run().lines("anew")
    return run


def flip(path: Path, at: int) -> None:
    """Flip the lowest bit of a byte."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def assert_right(outcome: Outcome, kinds: tuple[str, ...]) -> None:
    assert "1 passed" in outcome.summary
    assert "Traceback" not in outcome.output
    for kind in kinds:
        lines = outcome.lines(f"making {kind}/")
        assert lines, outcome.output
        assert all("of the cache anew, because" in line for line in lines)


def test_a_flipped_digit_of_a_weight(run: Callable[[], Outcome], cache: Path) -> None:
    shutil.rmtree(cache / "firmware")
    shutil.rmtree(cache / "reference")
    damaged = 0
    for archive in cache.glob("mlf/*/model.tar"):
        data = archive.read_bytes()
        at = data.find(b"static const int8_t", data.find(b"_lib0.c"))
        start = data.find(b"{", at)
        digit = next(i for i in range(start, len(data)) if data[i : i + 1].isdigit())
        flip(archive, digit)
        damaged += 1
    assert damaged
    assert_right(run(), ("mlf",))


def test_one_byte_of_every_kind_of_entry(run: Callable[[], Outcome], cache: Path) -> None:
    for kind, name in zip(
        KINDS,
        ("model.tar", "project/build/firmware.elf", "outputs.npz", "counting.so"),
        strict=True,
    ):
        for path in cache.glob(f"{kind}/*/{name}"):
            flip(path, path.stat().st_size // 2)
    assert_right(run(), KINDS)
    assert not run().lines("anew")


def test_cut_broken_and_replaced_entries(run: Callable[[], Outcome], cache: Path) -> None:
    for path in cache.glob("reference/*/outputs.npz"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for path in cache.glob("firmware/*/image.json"):
        path.write_text("{")
    for path in (*cache.glob("mlf/*"), *cache.glob("counting/*")):
        shutil.rmtree(path)
        path.write_text("")
    assert_right(run(), KINDS)
