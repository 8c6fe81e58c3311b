"""The corpus of the fuzzing harnesses, replayed; `scripts/bench fuzz` runs the fuzzer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.c.fuzz import seeds
from tests.c.toolchain import build_program

FUZZ_DIR = Path(__file__).parent / "fuzz"
CORPUS = FUZZ_DIR / "corpus"
TIMEOUT_S = 60


@pytest.mark.parametrize("harness", ["graph", "server"])
def test_replays_the_corpus(harness: str, sanitized_runtime: Path, tmp_path: Path) -> None:
    sources = [FUZZ_DIR / f"fuzz_{harness}.c", FUZZ_DIR / "replay.c"]
    program = build_program(sources, sanitized_runtime, tmp_path / "replay")
    seeds.main(str(tmp_path))
    inputs = [*sorted((CORPUS / harness).iterdir()), *sorted((tmp_path / harness).iterdir())]
    assert len(inputs) > 50
    completed = subprocess.run(
        [program, *inputs], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert (completed.returncode, completed.stderr) == (0, "")
