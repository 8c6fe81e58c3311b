"""Damaged models: each is refused, or computes what LiteRT computes, and nothing crashes or hangs.

A mutant is an example model or a model of one operator in which a few bytes are others: any bits,
or a shape, scale, zero point, option, length or offset of the flatbuffer. It is drawn from its
number and the seed, so that it can be made again alone. Each is compiled, built for this machine
and run in a process of its own with limits, and so is LiteRT.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import select
import signal
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import tflite

from scripts.benchmarks.devices import MODELS
from tests.operators.cases import merged
from tests.operators.catalogue import OPERATORS, draw

MEMORY_BYTES = 4 << 30
TIMEOUT_S = 120.0
BATCH = 20

OUTCOMES = (
    "refused",
    "equal",
    "refused by LiteRT",
    "not comparable",
    "differing",
    "hung",
    "crashed",
)
BAD = ("differing", "hung", "crashed")

KINDS = ("bits", "bytes", "shape", "scale", "zero point", "option", "offset", "length")


@dataclass(frozen=True)
class Result:
    """What became of a mutant."""

    number: int
    base: str
    kind: str
    outcome: str
    detail: str


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench mutants`."""
    parser = commands.add_parser("mutants", help="damaged models: refused, or as LiteRT")
    parser.add_argument("--count", type=int, default=2000, help="how many (default 2000)")
    parser.add_argument("--first", type=int, default=0, help="the first one's number (default 0)")
    parser.add_argument("--seed", type=int, default=0, help="draws others (default 0)")
    parser.add_argument("--only", type=int, action="append", help="these numbers alone")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--keep", type=Path, help="a folder for the mutants that were bad")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run all mutants; the exit status says whether none was bad."""
    start = time.perf_counter()
    first = arguments.first
    numbers = arguments.only or list(range(first, first + arguments.count))
    batches = [numbers[i : i + BATCH] for i in range(0, len(numbers), BATCH)]
    total: Counter[str] = Counter()
    # Each process imports TVM once, does nothing with it, and forks for every mutant.
    os.environ["TVM_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        for results in pool.map(partial(_run_batch, arguments.seed), batches):
            for result in results:
                total[result.outcome] += 1
                if result.outcome in BAD:
                    _tell(result, arguments)
            counts = ", ".join(f"{total[name]} {name}" for name in OUTCOMES)
            print(f"{sum(total.values())} mutants: {counts}", flush=True)
    print(f"seed {arguments.seed}, {time.perf_counter() - start:.0f} s")
    return 1 if any(total[name] for name in BAD) else 0


def _tell(result: Result, arguments: argparse.Namespace) -> None:
    print(f"  {result.number} ({result.base}, {result.kind}): {result.outcome}: {result.detail}")
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        data, _, _ = mutant(arguments.seed, result.number)
        (arguments.keep / f"{arguments.seed}-{result.number}.tflite").write_bytes(data)


# What is mutated.


@cache
def bases() -> dict[str, bytes]:
    """The models that are mutated, by name."""
    found = {path.stem: path.read_bytes() for path in sorted(MODELS.glob("*.tflite"))}
    for position, operator in enumerate(OPERATORS):
        found[operator] = merged(list(draw(1, 0, (operator,), position))).to_bytes()
    return found


def mutant(seed: int, number: int) -> tuple[bytes, str, str]:
    """The mutant of a number: its bytes, the model that it was, and what was changed."""
    source = random.Random(f"{seed}/{number}")
    name = source.choice(sorted(bases()))
    data = bytearray(bases()[name])
    kind = source.choice(KINDS)
    places = list(_places(bytes(data), kind))
    for _ in range(source.choice((1, 1, 1, 2, 4))):
        if kind == "bits" or not places:
            data[source.randrange(len(data))] ^= 1 << source.randrange(8)
        elif kind == "bytes":
            data[source.randrange(len(data))] = source.choice((0, 1, 127, 128, 255))
        else:
            place, size = source.choice(places)
            data[place : place + size] = _value(source, kind, size)
    return bytes(data), name, kind


def _value(source: random.Random, kind: str, size: int) -> bytes:
    if kind == "scale":
        scales = (0.0, -0.5, 1.0, 1e-30, 1e30, float("nan"), float("inf"), source.random())
        return struct.pack("<f", source.choice(scales))
    small = source.randrange(-2, 9)
    large = source.choice((127, 128, 255, 256, 65535, 65536, (1 << 31) - 1, -(1 << 31)))
    number = source.choice((small, small, large, source.randrange(1 << 16)))
    return (number & ((1 << (8 * size)) - 1)).to_bytes(size, "little")


def _places(data: bytes, kind: str) -> Iterator[tuple[int, int]]:
    """Where the bytes of a kind are: offsets and sizes."""
    model = tflite.Model.GetRootAsModel(data, 0)
    graph = model.Subgraphs(0)
    if kind in ("offset", "length"):
        # Everything that could be an offset or a length: words whose value lies in the file.
        for place in range(0, len(data) - 4, 4):
            value = int.from_bytes(data[place : place + 4], "little")
            if 0 < value < (len(data) if kind == "offset" else 64):
                yield place, 4
        return
    for i in range(graph.TensorsLength()):
        tensor = graph.Tensors(i)
        quantization = tensor.Quantization()
        if kind == "shape":
            yield from _vector(tensor, 0, 4)
        elif quantization is not None:
            yield from _vector(quantization, {"scale": 2, "zero point": 3}.get(kind, 99), 4)
    for i in range(graph.OperatorsLength() if kind == "option" else 0):
        table = graph.Operators(i).BuiltinOptions()
        for field in range(8 if table is not None else 0):
            offset = table.Offset(4 + 2 * field)
            if offset:
                yield table.Pos + offset, 1


def _vector(table: Any, field: int, size: int) -> Iterator[tuple[int, int]]:
    """The elements of a field of a table that is a vector; the low bytes of wide ones."""
    offset = table._tab.Offset(4 + 2 * field)
    if not offset:
        return
    start, length = table._tab.Vector(offset), table._tab.VectorLen(offset)
    width = 8 if field == 3 else size
    for i in range(length):
        yield start + width * i, size


# What becomes of it.


def _run_batch(seed: int, numbers: list[int]) -> list[Result]:
    from ai_edge_litert import interpreter  # noqa: F401 (before the forks)

    from pytest_microtvm.compiler import pipeline  # noqa: F401
    from tests.unit.compiler import native  # noqa: F401

    with contextlib.suppress(ImportError):
        from tvm import relax  # noqa: F401
    results = []
    for number in numbers:
        data, base, kind = mutant(seed, number)
        outcome, detail = _judge(data)
        results.append(Result(number, base, kind, outcome, detail))
    return results


def _judge(data: bytes) -> tuple[str, str]:
    """The outcome of a mutant, and what is to be told of it."""
    with tempfile.TemporaryDirectory(prefix="microtvm-mutant-") as folder:
        path = Path(folder) / "mutant.tflite"
        path.write_bytes(data)
        stages, how = _in_child(lambda tell: _compile_and_run(path, tell))
        last = stages[-1] if stages else {"stage": "start"}
        if "outcome" in last:
            return last["outcome"], last.get("detail", "")
        if last.get("stage") == "LiteRT":
            return "refused by LiteRT", how
        return ("hung" if how == "hung" else "crashed"), f"{how} in {last.get('stage')}"


def _in_child(work: Callable[[Callable[..., None]], None]) -> tuple[list[dict[str, Any]], str]:
    """Run something in a fork with limits; what it told, and how it ended."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_fd)
        _become_child(work, write_fd)
    os.close(write_fd)
    received, end, how = b"", time.monotonic() + TIMEOUT_S, "hung"
    while select.select([read_fd], [], [], max(0.0, end - time.monotonic()))[0]:
        block = os.read(read_fd, 65536)
        received += block
        if not block:
            how = "ended"
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(read_fd)
    if how != "hung" and os.WIFSIGNALED(status):
        how = signal.Signals(os.WTERMSIG(status)).name
    return [json.loads(line) for line in received.splitlines()], how


def _become_child(work: Callable[[Callable[..., None]], None], write_fd: int) -> None:
    status = 1
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)

        def tell(**what: Any) -> None:
            os.write(write_fd, json.dumps(what).encode() + b"\n")

        work(tell)
        status = 0
    finally:
        os._exit(status)


def _compile_and_run(path: Path, tell: Callable[..., None]) -> None:
    import numpy as np

    from pytest_microtvm.compiler import compile_to_files
    from pytest_microtvm.errors import ModelError
    from pytest_microtvm.verify.compare import Tolerance
    from pytest_microtvm.verify.inputs import make_inputs
    from pytest_microtvm.verify.interpreters import Interpreted
    from pytest_microtvm.verify.model_check import NOT_CHECKED, compare_model
    from pytest_microtvm.verify.run_litert import run_litert
    from pytest_microtvm.verify.sequences import make_sequence
    from tests.unit.compiler.native import NativeModel

    tell(stage="compile")
    try:
        files = compile_to_files(path)
    except ModelError as error:
        # One that a person cannot read is as bad as a crash.
        outcome = "crashed" if "\n" in str(error) or not error.cure else "refused"
        return tell(outcome=outcome, detail=str(error)[:300])
    tell(stage="build")
    model = NativeModel(files, path.parent, ("-O0",))
    library = model.library
    if library.states:
        inputs = make_sequence(library.name, library.inputs)
        steps = list(zip(*(inputs[spec.name] for spec in library.inputs), strict=True))
    else:
        inputs = make_inputs(library.name, library.inputs)
        steps = [tuple(np.asarray(inputs[spec.name]) for spec in library.inputs)]
    tell(stage="run")
    if library.states:
        model.reset()
    results = [np.stack(arrays) for arrays in zip(*(model(*step) for step in steps), strict=True)]
    outputs = {spec.name: array for spec, array in zip(library.outputs, results, strict=True)}
    tell(stage="LiteRT")
    about, arrays = run_litert(path, steps, False)
    tell(stage="compare")
    expected = {
        spec.name: np.asarray(arrays[f"output_{i}"]) for i, spec in enumerate(library.outputs)
    }
    for name, array in expected.items():
        if array.size != outputs[name].size or array.dtype != outputs[name].dtype:
            detail = f"{name} is {outputs[name].dtype}{list(outputs[name].shape)}, not "
            return tell(outcome="differing", detail=f"{detail}{array.dtype}{list(array.shape)}")
        expected[name] = array.reshape(outputs[name].shape)
    interpreted = Interpreted(
        about["title"],
        expected,
        about["is_optimized"],
        tuple(about["steps"]),
        tuple(about["hybrid"]),
    )
    in_float = library.float_operators is not None
    check = compare_model(outputs, interpreted, Tolerance(), in_float=in_float)
    if check.differs:
        return tell(outcome="differing", detail=" ".join(" ".join(check.notes).split())[:400])
    return tell(outcome="not comparable" if check.status == NOT_CHECKED else "equal")
