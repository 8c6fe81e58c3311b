"""Every byte of models' outputs, on boards and executors, against the models' own interpreter.

The interpreter is LiteRT with its reference kernels. Models in float32, whose last bits are no
interpreter's, are compared with the same archive on this machine.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.boards import Board, load_boards
from pytest_microtvm.compiler import CompileOptions
from pytest_microtvm.compiler.pools import Memory
from pytest_microtvm.flow.cache import Cache
from pytest_microtvm.flow.workshop import Workshop
from pytest_microtvm.mlf.library import ModelLibrary, TensorSpec
from pytest_microtvm.session.device import Session
from tests.operators.running import run_litert

BOARDS = "host,mps2_an385,mps2_an386,mps2_an500,mps3_an547,qemu_riscv32,qemu_riscv64"
MODELS = Path(__file__).parents[2] / "conftest_examples" / "models"
HOST = "host"
RUN_TIMEOUT_S = 120.0

Arrays = list[npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Case:
    """A model with inputs, and what has to come out.

    Attributes:
        path: The model's file.
        inputs: Arrays in the model's order, for each run.
        expected: The outputs, likewise.
    """

    path: Path
    inputs: Sequence[Arrays]
    expected: Sequence[Arrays]


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench outputs`."""
    parser = commands.add_parser("outputs", help="boards x executors against LiteRT, by the byte")
    parser.add_argument("--boards", default=BOARDS, help=f"default: {BOARDS}")
    parser.add_argument("--executors", default="aot,graph")
    parser.add_argument("--inputs", type=int, default=100, help="runs of each (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="draws others (default 0)")
    parser.add_argument(
        "--models",
        type=Path,
        nargs="+",
        default=sorted(MODELS.glob("*_int8.tflite")),
        help="TFLite model files (default: those of conftest_examples in int8)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare all; the exit status says whether every byte was right."""
    boards = load_boards()
    chosen = [boards[name] for name in arguments.boards.split(",")]
    total = pairs = 0
    with tempfile.TemporaryDirectory() as name:
        cache = Cache(Path(name))
        cache.open()
        workshop = Workshop(cache)
        for path in arguments.models:
            case = _case(path, boards[HOST], workshop, arguments.inputs, arguments.seed)
            for board in chosen:
                for executor in arguments.executors.split(","):
                    bytes_wrong = _differing(case, board, executor, workshop)
                    total, pairs = total + bytes_wrong, pairs + 1
                    print(
                        f"{path.stem:12} {board.name:13} {executor:6} {arguments.inputs} inputs: "
                        f"{bytes_wrong} differing bytes",
                        flush=True,
                    )
    print(f"{pairs} pairs, {total} differing bytes")
    return 1 if total else 0


def _case(path: Path, host: Board, workshop: Workshop, count: int, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    library = _compiled(path, host, workshop)
    inputs = [[_drawn(rng, spec, n) for spec in library.inputs] for n in range(count)]
    dtypes = {spec.dtype for spec in library.outputs}
    if any(dtype.startswith("float") for dtype in dtypes) or path.suffix != ".tflite":
        expected = _on(host, "aot", library, inputs, workshop)
    else:
        expected = run_litert(path.read_bytes(), inputs)
    return Case(path, inputs, expected)


def _drawn(rng: np.random.Generator, spec: TensorSpec, number: int) -> npt.NDArray[np.generic]:
    """An input: numbers of the whole range, and every tenth time only its ends."""
    if spec.dtype.startswith("float"):
        return rng.normal(size=spec.shape).astype(spec.dtype)
    limits = np.iinfo(spec.dtype)
    if number % 10 == 9:
        return rng.choice(np.array([limits.min, limits.max], spec.dtype), spec.shape)
    drawn: npt.NDArray[Any] = rng.integers(
        limits.min, limits.max, spec.shape, spec.dtype, endpoint=True
    )
    return drawn


def _differing(case: Case, board: Board, executor: str, workshop: Workshop) -> int:
    library = _compiled(case.path, board, workshop)
    found = _on(board, executor, library, case.inputs, workshop)
    return sum(
        int((a.reshape(-1).view(np.uint8) != b.reshape(-1).view(np.uint8)).sum())
        for actual, expected in zip(found, case.expected, strict=True)
        for a, b in zip(actual, expected, strict=True)
    )


def _compiled(path: Path, board: Board, workshop: Workshop) -> ModelLibrary:
    return workshop.compile(path, CompileOptions.for_board(board, {}, Memory())).library


def _on(
    board: Board,
    executor: str,
    library: ModelLibrary,
    inputs: Sequence[Arrays],
    workshop: Workshop,
) -> list[Arrays]:
    """The outputs of a device, run after run."""
    firmware = workshop.build(library, board, executor)
    with Session(firmware, RUN_TIMEOUT_S) as session:
        outputs = [
            session.run(
                {spec.name: array for spec, array in zip(library.inputs, arrays, strict=True)}
            )
            for arrays in inputs
        ]
    return [[each[spec.name] for spec in library.outputs] for each in outputs]
