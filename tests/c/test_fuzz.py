"""The fuzzing harnesses, fed with a corpus and with what is drawn from a seed.

`scripts/bench fuzz` runs the fuzzer.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.c.fuzz import seeds, sequences
from tests.c.toolchain import build_program, compile_sources, find_compiler, fuzz_sources

FUZZ_DIR = Path(__file__).parent / "fuzz"
CORPUS = FUZZ_DIR / "corpus"
TIMEOUT_S = 300
HARNESSES = {"graph": sequences.evil_graphs, "server": sequences.sessions}
"""Each with what draws inputs for it."""
DRAWN = 1500

# For 32 bits there is no run-time library: what is undefined ends in an illegal instruction.
TRAPS = ("-g", "-O1", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error", "-static")


def withstands(program: Path, arguments: Sequence[Path] = (), given: bytes = b"") -> None:
    completed = subprocess.run(
        [program, *arguments], input=given, capture_output=True, timeout=TIMEOUT_S, check=False
    )
    assert (completed.returncode, completed.stderr.decode()) == (0, "")


def drawn(harness: str) -> bytes:
    """Sound packets, and graphs, of evil values."""
    return b"".join(struct.pack("<I", len(each)) + each for each in HARNESSES[harness](0, DRAWN))


@pytest.mark.parametrize("harness", HARNESSES)
def test_withstands_the_corpus_and_evil_values(
    harness: str, sanitized_runtime: Path, tmp_path: Path
) -> None:
    sources = [FUZZ_DIR / f"fuzz_{harness}.c", FUZZ_DIR / "replay.c"]
    program = build_program(sources, sanitized_runtime, tmp_path / "replay")
    seeds.main(str(tmp_path))
    inputs = [*sorted((CORPUS / harness).iterdir()), *sorted((tmp_path / harness).iterdir())]
    assert len(inputs) > 50
    withstands(program, inputs)
    withstands(program, given=drawn(harness))


@pytest.mark.parametrize("harness", HARNESSES)
def test_withstands_evil_values_where_addresses_have_32_bits(harness: str, tmp_path: Path) -> None:
    compiler = find_compiler("i386-linux-musl-gcc", "see docker/ for musl's headers of i386")
    program = tmp_path / "replay"
    compile_sources(compiler, [*fuzz_sources(harness), FUZZ_DIR / "replay.c"], program, TRAPS)
    withstands(program, given=drawn(harness))
