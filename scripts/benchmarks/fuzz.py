"""Coverage-guided fuzzing of the C runtime, with libFuzzer under ASan and UBSan.

Not a measurement, but like one it takes as long as one likes. It starts from the seeds and the
corpus in the tree; with --minimize, what it found replaces the corpus.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.c.fuzz import seeds
from tests.c.toolchain import RUNTIME_DIR, SANITIZERS, fuzz_sources

CORPUS = Path(__file__).parents[2] / "tests" / "c" / "fuzz" / "corpus"
HARNESSES = {"server": 1500, "graph": 3000}
"""Each with the largest input in bytes."""
COMPILERS = ("clang", "clang-14")
GRACE_S = 120


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench fuzz`."""
    parser = commands.add_parser("fuzz", help="libFuzzer on the RPC server and the graph reader")
    parser.add_argument("--seconds", type=int, default=600, help="for each harness (default 600)")
    parser.add_argument("--minimize", action="store_true", help="replace the corpus in the tree")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fuzz each harness; the exit status says whether anything was found."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        print("clang is missing; install it with: apt-get install clang libclang-rt-14-dev")
        return 2
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        seeds.main(name)
        return max(
            _fuzz(compiler, harness, directory, arguments.seconds, arguments.minimize)
            for harness in HARNESSES
        )


def _fuzz(compiler: str, harness: str, directory: Path, seconds: int, minimize: bool) -> int:
    program = directory / f"fuzz_{harness}"
    found = directory / f"{harness}_found"
    found.mkdir()
    sanitizers = [flag.replace("address", "fuzzer,address", 1) for flag in SANITIZERS]
    sources = [str(source) for source in fuzz_sources(harness)]
    flags = ["-std=c11", *sanitizers, f"-I{RUNTIME_DIR / 'include'}", "-o", str(program)]
    subprocess.run([compiler, *flags, *sources], check=True)
    given = [str(CORPUS / harness), str(directory / harness)]
    print(f"{harness}: {seconds} s")
    status = subprocess.run(
        [
            program,
            f"-max_total_time={seconds}",
            f"-max_len={HARNESSES[harness]}",
            f"-artifact_prefix={Path.cwd()}/",
            "-print_final_stats=1",
            "-verbosity=0",
            *(str(found), *given),
        ],
        timeout=seconds + GRACE_S,
        check=False,
    ).returncode
    if status == 0 and minimize:
        smallest = directory / f"{harness}_smallest"
        smallest.mkdir()
        # Few files that reach every branch, not one for each number of times it was taken.
        merge = [str(program), "-set_cover_merge=1", "-use_counters=0", "-verbosity=0"]
        subprocess.run([*merge, smallest, found, *given], check=True, timeout=seconds + GRACE_S)
        shutil.rmtree(CORPUS / harness)
        shutil.copytree(smallest, CORPUS / harness)
    return 1 if status else 0
