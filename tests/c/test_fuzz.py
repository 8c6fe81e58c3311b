"""The corpus of the fuzzing harnesses, replayed; `scripts/bench fuzz` runs the fuzzer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.c.fuzz import seeds
from tests.c.toolchain import SANITIZERS, compile_sources, find_compiler, fuzz_sources

CORPUS = Path(__file__).parent / "fuzz" / "corpus"
TIMEOUT_S = 60


@pytest.mark.parametrize("harness", ["graph", "server"])
def test_replays_the_corpus(harness: str, tmp_path: Path) -> None:
    compiler = find_compiler("gcc", "apt-get install gcc libc6-dev")
    program = tmp_path / "replay"
    sources = [*fuzz_sources(harness), Path(__file__).parent / "fuzz" / "replay.c"]
    compile_sources(compiler, sources, program, SANITIZERS)
    seeds.main(str(tmp_path))
    inputs = [*sorted((CORPUS / harness).iterdir()), *sorted((tmp_path / harness).iterdir())]
    assert len(inputs) > 50
    completed = subprocess.run(
        [program, *inputs], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert (completed.returncode, completed.stderr) == (0, "")
