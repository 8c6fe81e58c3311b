"""Measures on a board which way to write each kernel of a model is the fastest.

Kernels do not depend on each other. So in each round every kernel that can be written in several
ways is written in its next one, all of them in one firmware; as many rounds as the kernel with the
most ways has measure all of them. The board runs the model kernel by kernel (`host_driven`), which
tells each kernel's cost and each kernel's output: only what gives the same bytes counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_microtvm.boards import Board
from pytest_microtvm.compiler import CompileOptions
from pytest_microtvm.compiler.quantized.choices import Choice
from pytest_microtvm.compiler.quantized.kernels import tunables
from pytest_microtvm.compiler.tuning.records import Key, TuningRecord, key_of
from pytest_microtvm.compiler.tuning.selection import Candidate, select
from pytest_microtvm.compiler.tuning_files import UNTUNED
from pytest_microtvm.errors import (
    BuildError,
    ConfigError,
    ModelError,
    OutputMismatch,
    TargetError,
    TransportError,
)
from pytest_microtvm.executors import AOT, HOST_DRIVEN
from pytest_microtvm.flow.harness import Harness
from pytest_microtvm.flow.progress import Progress
from pytest_microtvm.measure.counting import Counter
from pytest_microtvm.measure.records import Record
from pytest_microtvm.mlf.graph import COPY
from pytest_microtvm.mlf.library import ModelLibrary
from pytest_microtvm.model_files import is_library, shown_path
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.host_driven import NodeResult
from pytest_microtvm.temporary import TemporaryFolder
from pytest_microtvm.verify.inputs import Tensors
from pytest_microtvm.version import __version__

GROWTH = 0.02
"""By how much of it the code and constants of a model may grow, unless told otherwise."""
LEAST_GROWTH_BYTES = 1200
"""By which small models may grow all the same."""
REAL_RUNS = 5
"""Runs of each kernel on a real board, of which the fastest counts."""


@dataclass(frozen=True)
class Measurement:
    """One firmware, measured.

    Attributes:
        costs: By key, what all calls of its kernels take in an inference.
        calls: By key, how many these are.
        code_bytes: By key, the size of its kernels' code.
        memory_bytes: By key, what its kernels need beside their tensors.
        total: What all kernels take.
        bytes_of: By key, what its calls gave, in their order.
        metric: What costs are.
    """

    costs: Mapping[Key, float]
    calls: Mapping[Key, int]
    code_bytes: Mapping[Key, int]
    memory_bytes: Mapping[Key, int]
    total: float
    bytes_of: Mapping[Key, tuple[bytes, ...]]
    metric: str

    def candidate(self, key: Key, choice: Choice) -> Candidate:
        """A way to write kernels, as it was measured."""
        return Candidate(choice, self.costs[key], self.code_bytes[key], self.memory_bytes[key])


@dataclass(frozen=True)
class Tuned:
    """What came of tuning.

    Attributes:
        records: For each shape of kernel, what was measured.
        metric: What the costs are.
        untuned: What an inference takes with kernels as the compiler writes them by itself.
        tuned: What it takes as the records have it; None where that was not measured.
        growth_bytes: By how much the kernels' code grows.
        was_interrupted: Whether it ended before everything was measured.
    """

    records: tuple[TuningRecord, ...]
    metric: str
    untuned: float
    tuned: float | None
    growth_bytes: int
    was_interrupted: bool = False


class Tuner:
    """Tunes one model for the core of one board.

    Args:
        harness: Compiles, builds and runs.
        model: The model's file.
        board: The board.
        growth_bytes: By how much the code may grow; None for the default.
        progress: Told of each round.

    Raises:
        ConfigError: The model is an archive, or nothing can be measured on the board.
    """

    def __init__(
        self,
        harness: Harness,
        model: Path,
        board: Board,
        growth_bytes: int | None,
        progress: Progress,
    ) -> None:
        if is_library(model):
            raise ConfigError(
                f"{shown_path(model)} is an archive, whose kernels are written already",
                cure="give the model's own file",
            )
        self._harness = harness
        self._model = model
        self._board = board
        self._growth_bytes = growth_bytes
        self._progress = progress
        self._record = Record("", board.label, board.platform, HOST_DRIVEN)
        self._inputs: Tensors = {}
        self._measured: dict[Key, list[Candidate]] = {}
        self._outputs: tuple[bytes, ...] = ()
        self._own: Measurement
        self._library: ModelLibrary

    def tune(self) -> Tuned:
        """Measure all ways to write each kernel, and choose.

        Ctrl-C ends it early; what was measured by then counts.

        Raises:
            ModelError: The model has no kernels that can be written in several ways.
            MicroTVMError: It cannot be compiled, or the board not be used.
        """
        library = self._library = self._compile(UNTUNED)
        ways = _ways_of(library, self._board)
        if not ways:
            raise ModelError(
                f"{shown_path(self._model)} has no kernels that can be written in several ways on "
                f"{self._board.label}: those are convolutions and fully connected layers over int8",
                cure="tune a quantized model",
            )
        inputs = self._harness.inputs(library)
        if library.states:
            inputs = {name: steps[0] for name, steps in inputs.items()}
        self._inputs = inputs
        self._own = self._measure(library)
        for key, choices in ways.items():
            self._measured[key] = [self._own.candidate(key, choices[0])]
        rounds = max(len(choices) for choices in ways.values()) - 1
        self._progress(
            f"{len(ways)} shapes of kernels, {sum(map(len, ways.values()))} ways to write them, "
            f"{rounds} rounds"
        )
        with TemporaryFolder("tuning") as folder:
            log = folder / "log.jsonl"
            try:
                for number in range(1, rounds + 1):
                    self._progress(f"round {number} of {rounds}")
                    trial = {key: each[number] for key, each in ways.items() if number < len(each)}
                    self._try(trial, log)
                self._progress("measuring what was chosen")
                chosen, tuned = self._settle(log)
                totals = self._total(self._library), self._total(tuned)
            except KeyboardInterrupt:
                return self._result(self._chosen(), None)
        return self._result(chosen, totals)

    def _settle(self, log: Path) -> tuple[dict[Key, Candidate], ModelLibrary]:
        """What is taken, such that the arena does not grow, and the model compiled like that."""
        # Where what a kernel needs is not where the arena is full, more of it is free.
        for arena_bytes in (self._library.workspace_bytes, 0):
            chosen = self._chosen(arena_bytes)
            library = self._compile_with({key: each.choice for key, each in chosen.items()}, log)
            if library.workspace_bytes <= self._library.workspace_bytes:
                break
        return chosen, library

    def _total(self, library: ModelLibrary) -> float:
        """What an inference takes as firmware does it that walks along no graph.

        Raises:
            OutputMismatch: Its outputs are other bytes than those of the untuned model.
        """
        record = Record("", self._board.label, self._board.platform, AOT)
        firmware = self._harness.build(library, self._board, record)
        session = self._harness.open(firmware, record, lambda line: None)
        is_real = self._harness.is_real(self._board)
        seconds: list[float] = []
        for _ in range(REAL_RUNS if is_real else 1):
            session.reset()
            session.forget_figures()
            outputs = session.run(self._inputs)
            seconds.append(session.run_s or 0.0)
        given = tuple(array.tobytes() for array in outputs.values())
        if self._outputs and given != self._outputs:
            raise OutputMismatch("the tuned model gives other bytes than the untuned one")
        self._outputs = given
        if session.counts is None:
            return 1e6 * min(seconds)
        return session.counts.cycles or session.counts.total

    def _try(self, trial: Mapping[Key, Choice], log: Path) -> None:
        """Measure one way to write each of some kernels; one by one if that does not work."""
        try:
            found = self._measure(self._compile_with(trial, log))
        except (ModelError, BuildError, TargetError, TransportError) as error:
            if len(trial) == 1:
                (key,) = trial
                self._progress(f"left out {trial[key]} of {key.kernel}: {error.one_line()}")
                return
            for key, choice in trial.items():
                self._try({key: choice}, log)
            return
        for key, choice in trial.items():
            if found.bytes_of[key] != self._own.bytes_of[key]:
                self._progress(f"left out {choice} of {key.kernel}: it gives other bytes")
                continue
            self._measured[key].append(found.candidate(key, choice))

    def _compile_with(self, choices: Mapping[Key, Choice], log: Path) -> ModelLibrary:
        """Compile the model with these choices, and what logs say of the rest."""
        candidates = {key: Candidate(choice, 0, 0) for key, choice in choices.items()}
        lines = [self._record_of(key, each).to_line() for key, each in candidates.items()]
        log.write_text("".join(f"{line}\n" for line in lines))
        return self._compile(str(log))

    def _compile(self, tuning: str) -> ModelLibrary:
        options: CompileOptions = self._harness.options.compile_options(self._board)
        options = replace(options, core=self._board.cpu.core, tuning=tuning)
        return self._harness.workshop.compile(self._model, options).library

    def _measure(self, library: ModelLibrary) -> Measurement:
        firmware = self._harness.build(library, self._board, self._record)
        is_real = self._harness.is_real(self._board)
        if not is_real and not isinstance(firmware.counter, Counter):
            raise ConfigError(
                f"nothing can be measured on {self._board.label}: {firmware.counter}",
                cure="take an emulated board whose instructions are counted, or a real one",
            )
        session = self._harness.open(firmware, self._record, lambda line: None)
        runs = []
        for _ in range(REAL_RUNS if is_real else 1):
            session.reset()
            session.forget_figures()
            results = session.debug(self._inputs, is_timed=is_real)
            runs.append([result for result in results if result.node.function != COPY])
        counts = session.counts
        if counts is None:
            metric = "latency_us"
            costs = [1e6 * min(each.seconds for each in call) for call in zip(*runs, strict=True)]
        elif counts.kernel_cycles:
            is_exact = isinstance(firmware.counter, Counter) and firmware.counter.plugin is None
            metric = "cycles" if is_exact else "estimated_cycles"
            costs = list(counts.kernel_cycles)
        else:
            metric, costs = "instructions", [count for _, count in counts.kernels]
        return _measurement(firmware, runs[0], costs, metric)

    def _chosen(self, arena_bytes: int = 0) -> dict[Key, Candidate]:
        return select(self._measured, self._limit_bytes(), arena_bytes)

    def _limit_bytes(self) -> int:
        """By how much the code of all kernels may grow."""
        if self._growth_bytes is not None:
            return self._growth_bytes
        size_bytes = self._library.constants_bytes + sum(self._own.code_bytes.values())
        return max(LEAST_GROWTH_BYTES, int(size_bytes * GROWTH))

    def _result(self, chosen: Mapping[Key, Candidate], totals: tuple[float, float] | None) -> Tuned:
        growth = sum(each.code_bytes - self._own.code_bytes[key] for key, each in chosen.items())
        records = tuple(self._record_of(key, each) for key, each in chosen.items())
        own = self._own
        if totals is None:
            return Tuned(records, own.metric, own.total, None, growth, was_interrupted=True)
        return Tuned(records, own.metric, *totals, growth)

    def _record_of(self, key: Key, candidate: Candidate) -> TuningRecord:
        calls = self._own.calls[key]
        toolchain = self._harness.workshop.toolchains.name_of(self._board)
        return TuningRecord(
            key,
            __version__,
            candidate.choice.to_data(),
            _rounded(candidate.cost / calls),
            _rounded(self._own.costs[key] / calls),
            candidate.code_bytes,
            self._own.code_bytes[key],
            self._own.metric,
            ", ".join(filter(None, (self._board.label, toolchain))),
        )


def _ways_of(library: ModelLibrary, board: Board) -> dict[Key, tuple[Choice, ...]]:
    """By key, how the kernels of an archive can be written, those that have several ways."""
    known = tunables(board.cpu.simd)
    keys = dict.fromkeys(key for key, _ in _keys_of(library, board.cpu.core).values())
    found = {key: known[key.kernel].candidates(key.workload) for key in keys}
    return {key: choices for key, choices in found.items() if len(choices) > 1}


def _keys_of(library: ModelLibrary, core: str) -> dict[str, tuple[Key, int]]:
    """By the name of each function of which something is chosen: its key, and its memory."""
    functions = library.metadata["modules"][library.name]["memory"]["functions"]
    return {
        entry["function_name"]: (key_of(entry["tuning"], core), entry["tuning"]["memory_bytes"])
        for entry in functions["operator_functions"]
        if "tuning" in entry
    }


def _measurement(
    firmware: Firmware, results: Sequence[NodeResult], costs: Sequence[float], metric: str
) -> Measurement:
    """What the calls of kernels in an inference took, by key."""
    keys = _keys_of(firmware.library, firmware.board.cpu.core)
    symbols = {} if firmware.image is None else firmware.image.symbols
    code_bytes: dict[Key, int] = {}
    memory_bytes: dict[Key, int] = {}
    for name, (key, kernel_bytes) in keys.items():
        memory_bytes[key] = max(kernel_bytes, memory_bytes.get(key, 0))
        code_bytes[key] = code_bytes.get(key, 0) + int(symbols.get(name, {}).get("bytes", 0))
    by_key: dict[Key, float] = {}
    calls: dict[Key, int] = {}
    given: dict[Key, list[bytes]] = {}
    for result, cost in zip(results, costs, strict=True):
        if result.node.function in keys:
            key, _ = keys[result.node.function]
            by_key[key] = by_key.get(key, 0) + cost
            calls[key] = calls.get(key, 0) + 1
            given.setdefault(key, []).extend(array.tobytes() for array in result.outputs)
    return Measurement(
        costs=by_key,
        calls=calls,
        code_bytes=code_bytes,
        memory_bytes=memory_bytes,
        total=sum(costs),
        bytes_of={key: tuple(each) for key, each in given.items()},
        metric=metric,
    )


def _rounded(cost: float) -> float:
    return int(cost) if cost == int(cost) else round(cost, 3)
