"""The whole way from a model to a verdict, each step taken once and shared by all who need it."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pytest_microtvm.boards import Board
from pytest_microtvm.compiler.options import Reading
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import BuildError, DoesNotFit, MicroTVMError, OutputMismatch
from pytest_microtvm.executors import AOT, HOST_DRIVEN
from pytest_microtvm.flow.harness_options import HarnessOptions
from pytest_microtvm.flow.measuring import describe_memory, measure
from pytest_microtvm.flow.progress import long_step
from pytest_microtvm.flow.rig import Rig
from pytest_microtvm.flow.workshop import CompiledModel, Workshop
from pytest_microtvm.measure.records import MISMATCH, Record
from pytest_microtvm.mlf.library import ModelLibrary
from pytest_microtvm.model_files import plain_path, shown_path
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.project.server.api import FLASH
from pytest_microtvm.session.bridges import Bridges
from pytest_microtvm.session.device import Session
from pytest_microtvm.session.host_driven import NodeResult
from pytest_microtvm.verify.compare import Comparison, Tolerance, compare_outputs
from pytest_microtvm.verify.explain import Explanation, explain_difference
from pytest_microtvm.verify.inputs import Tensors, load_inputs, load_outputs, make_inputs
from pytest_microtvm.verify.references import HOST, INTERPRETERS, reference_title
from pytest_microtvm.verify.sequences import load_sequence, make_sequence, with_steps

if TYPE_CHECKING:
    from pytest_microtvm.flow.model_checks import ModelChecks

T = TypeVar("T")

MAX_SESSIONS = 4
"""How many devices stay open at once; the one used longest ago is closed for another."""

HOST_BOARD = "host"
REFERENCE_FILE = "outputs.npz"
_IN_COMPILER = "what the compiler made of the model, which both run,"


class Harness:
    """Models, firmware and devices of one run.

    Args:
        workshop: Compiles and builds.
        boards: All known boards by name; the reference runs on `host`.
        options: For the whole run.
        rig: Has the real boards.
        bridges: For emulated ones; ended by `close`.
    """

    def __init__(
        self,
        workshop: Workshop,
        boards: Mapping[str, Board],
        options: HarnessOptions,
        rig: Rig,
        bridges: Bridges,
    ) -> None:
        self.workshop = workshop
        self.boards = boards
        self.options = options
        self._rig = rig
        self._compiled: dict[tuple[Path, str], CompiledModel] = {}
        self._firmware: dict[tuple[str, str, str], Firmware] = {}
        self._failed: dict[object, MicroTVMError] = {}
        self._sessions: dict[str, tuple[Session, Record]] = {}
        self._bridges = bridges
        self._references: dict[str, Tensors] = {}
        self._titles: dict[str, str] = {}
        self._records: dict[tuple[str, str, str], Record] = {}
        self._checks: ModelChecks | None = None

    @property
    def records(self) -> list[Record]:
        """What was recorded so far, in the order it was first asked for."""
        return list(self._records.values())

    def record(
        self, model: Path, board: Board, executor: str, reading: Reading | None = None
    ) -> Record:
        """The record that tests of this model, board and executor share."""
        absolute = plain_path(model)
        if absolute.is_relative_to(self.options.root):
            absolute = absolute.relative_to(self.options.root)
        record = Record(
            absolute.as_posix() + (str(reading) if reading else ""),
            board.label,
            board.platform,
            executor,
            str(self.options.reference),
        )
        return self._records.setdefault(record.key, record)

    def compile(
        self, model: Path, board: Board, record: Record, reading: Reading | None = None
    ) -> CompiledModel:
        """Compile a model for a board, once a run for all boards whose CPUs can do the same.

        Args:
            model: The model's file.
            board: The board.
            record: Gets the time.
            reading: How a test wants the model to be read; None as the run does.

        Raises:
            ModelError: It cannot be compiled; said again to every test that needs it.
            DoesNotFit: Its constants are more than the board has memory.
        """
        options = self.options.compile_options(board, reading)
        key = (model, repr(options))
        if key not in self._compiled:
            # All of its memory: more does not fit, whatever is put where.
            room = sum(region.bytes for region in board.memory) or None
            try:
                self._compiled[key] = self._once(
                    (*key, room), lambda: self.workshop.compile(model, options, room)
                )
            except DoesNotFit as error:
                error.board = board.label
                raise
        compiled = self._compiled[key]
        title = PurePath(shown_path(model)).with_suffix("").as_posix()
        self._titles.setdefault(compiled.library.sha256, title)
        if "mlf" not in record.cached:
            record.cached["mlf"] = compiled.cached
            record.add_seconds("compile", compiled.compile_s)
        return compiled

    def build(self, library: ModelLibrary, board: Board, record: Record) -> Firmware:
        """Build the firmware for a board, once a run.

        Raises:
            BuildError: It cannot be built; said again to every test that needs it.
        """
        firmware = self._built(library, board, record.executor)
        if "firmware" not in record.cached:
            record.cached["firmware"] = firmware.cached
            record.build_id = firmware.build_id
            record.add_seconds("generate", firmware.generate_s)
            record.add_seconds("build", firmware.build_s)
            record.add_metrics(measure(firmware))
            describe_memory(record, firmware)
            record.toolchain = self.workshop.toolchains.name_of(board)
        return firmware

    def is_real(self, board: Board) -> bool:
        """Whether a board is a real one, taken from the lab."""
        return self._rig.serves(board)

    def open(
        self,
        firmware: Firmware,
        record: Record,
        on_log: Callable[[str], None],
        options: Mapping[str, Any] | None = None,
    ) -> Session:
        """Open the device that runs a firmware, or go on with the session that is open.

        Args:
            firmware: What must run.
            record: Gets the times.
            on_log: Told the device's log lines, until the next `open`.
            options: Project options, beside those that say which real board is meant.

        Raises:
            MicroTVMError: The device cannot be had, flashed or opened.
        """
        if self._rig.serves(firmware.board):
            self.workshop.toolchains.require(firmware.board, FLASH)
            return self._rig.open(firmware, record, on_log, options)
        entry = self._sessions.pop(firmware.build_id, None)
        if entry is not None and entry[0].is_open:
            self._sessions[firmware.build_id] = entry
            entry[0].on_log = on_log
            return entry[0]
        if entry is not None:
            self._close(*entry)
        while len(self._sessions) >= MAX_SESSIONS:
            self._close(*self._sessions.pop(next(iter(self._sessions))))
        session = Session(
            firmware, self.options.timeout_s, on_log, options=options, bridges=self._bridges
        )
        session.open()
        record.add_seconds("open", session.open_s)
        self._sessions[firmware.build_id] = (session, record)
        return session

    def run(self, session: Session, inputs: Tensors, record: Record) -> Tensors:
        """Run a model on an open device.

        Args:
            session: The device.
            inputs: One array per input; of a model with states a sequence of them, which begins
                with its initial state.
            record: Gets time and figures.

        Raises:
            MicroTVMError: The device did not answer or refused; its session is closed.
        """
        return self._run(
            session,
            session.run_sequence if session.firmware.library.states else session.run,
            inputs,
            record,
        )

    def run_step(self, session: Session, inputs: Tensors, record: Record) -> Tensors:
        """Run a model once, from the state that the run before left; otherwise as `run`."""
        return self._run(session, session.run, inputs, record)

    def run_sequence(self, session: Session, inputs: Tensors, record: Record) -> Tensors:
        """Run a model on a sequence of inputs, whether it has states or not."""
        return self._run(session, session.run_sequence, inputs, record)

    def _run(
        self, session: Session, run: Callable[[Tensors], Tensors], inputs: Tensors, record: Record
    ) -> Tensors:
        start = time.monotonic()
        try:
            outputs = run(inputs)
        except BaseException:
            entry = self._sessions.pop(session.firmware.build_id, None)
            if entry is not None:
                self._close(*entry)
            self._rig.drop(session)
            raise
        record.add_seconds("run", time.monotonic() - start)
        self.take_figures(session, record)
        return outputs

    def take_figures(self, session: Session, record: Record) -> None:
        """Add what a device's runs measured, since this was last done, to a record."""
        record.add_metrics(measure(session.firmware, session))
        session.forget_figures()

    def run_on_host(self, library: ModelLibrary, inputs: Tensors) -> Tensors:
        """Run a compiled model on this machine; nothing of it is kept."""
        host = self._built(library, self.boards[HOST_BOARD], AOT)
        record = Record("", HOST_BOARD, HOST_BOARD, AOT)  # nobody's: not a test of its own
        return self.run(self.open(host, record, lambda line: None), inputs, record)

    def inputs(self, library: ModelLibrary) -> Tensors:
        """The inputs for a test that brings none; for a model with states, a sequence of them.

        Raises:
            ConfigError: The file named for the run does not fit the model.
        """
        if self.options.inputs is not None:
            load = load_sequence if library.states else load_inputs
            return load(self.options.inputs, library.inputs)
        make = make_sequence if library.states else make_inputs
        return make(library.name, library.inputs)

    def reference(
        self, model: Path, library: ModelLibrary, board: Board, inputs: Tensors
    ) -> Tensors:
        """What the outputs are compared with, as `options.reference` says.

        Args:
            model: The model's file.
            library: The model compiled.
            board: Where another executor runs, if that is the reference.
            inputs: One array per input, by name; as of `run`.

        Returns:
            One array per output, by name.

        Raises:
            MicroTVMError: The reference cannot be had.
        """
        chosen = self.options.reference
        if isinstance(chosen, Path):
            if not library.states:
                return load_outputs(chosen, library.outputs)
            steps = len(next(iter(inputs.values())))
            return load_outputs(chosen, with_steps(library.outputs, steps))
        if chosen == HOST:
            return self._host_reference(library, inputs)
        if chosen in INTERPRETERS:
            from pytest_microtvm.verify.interpreters import require_interpreter, run_interpreter

            require_interpreter(model, chosen)
            deadline = Deadline(self.options.timeout_s)
            forks = self.workshop.forks
            return run_interpreter(model, library, inputs, deadline, forks=forks).outputs
        record = Record("", board.label, board.platform, chosen)  # nobody's: not a test of its own
        session = self.open(self._built(library, board, chosen), record, lambda line: None)
        return self.run(session, inputs, record)

    def check_model(self, model: Path, library: ModelLibrary, record: Record) -> None:
        """Hold a compiled model to the model's own interpreter on this machine, once an archive.

        Args:
            model: The model's file.
            library: The model compiled.
            record: Is told what that came to.

        Raises:
            OutputMismatch: The compiled model is not what the file says.
        """
        if not self.options.check_models:
            return
        if self._checks is None:
            from pytest_microtvm.flow.model_checks import ModelChecks

            self._checks = ModelChecks(
                self.workshop.cache,
                self.options.tolerance,
                self._host_reference,
                self._host_tensors,
                self.workshop.progress,
                self.workshop.detail,
                self.workshop.forks,
            )
        check = self._checks.result(model, library)
        record.model_check = check.status
        if check.differs:
            raise OutputMismatch(
                "\n".join((f"{shown_path(model)}: {check.notes[0]}", *check.notes[1:]))
            )

    def _host_tensors(self, library: ModelLibrary, inputs: Tensors) -> list[NDArray[np.generic]]:
        """What every kernel of a compiled model gives on this machine."""
        results = self._debug(library, self.boards[HOST_BOARD], inputs)
        return [output for result in results for output in result.outputs]

    def _where_to_look(self) -> str:
        """Where the cause of a difference is that is in no kernel on the device."""
        chosen = self.options.reference
        if isinstance(chosen, Path):
            return f"{_IN_COMPILER} or in {chosen.name}"
        if chosen in INTERPRETERS:
            return f"{_IN_COMPILER} or in {reference_title(chosen)}"
        return "the executor, the memory plan or the firmware image, not in a kernel"

    def explain(self, library: ModelLibrary, board: Board, inputs: Tensors) -> Explanation:
        """Find the first kernel whose result on a board is not that on this machine.

        Both run the graph kernel by kernel, with the executor `host_driven`.

        Returns:
            What was found; if the search itself fails, its notes say so.
        """
        try:
            return explain_difference(
                self._debug(library, board, inputs),
                self._debug(library, self.boards[HOST_BOARD], inputs),
                self._where_to_look(),
            )
        except MicroTVMError as error:
            return Explanation((f"kernel by kernel: {error.one_line()}",))

    def _debug(self, library: ModelLibrary, board: Board, inputs: Tensors) -> list[NodeResult]:
        firmware = self._built(library, board, HOST_DRIVEN)
        record = Record("", board.label, board.platform, HOST_DRIVEN)
        session = self.open(firmware, record, lambda line: None)
        if not library.states:
            return session.debug(inputs, is_timed=False)
        session.reset()
        steps = range(len(next(iter(inputs.values()))))
        each = [{name: array[step] for name, array in inputs.items()} for step in steps]
        return [result for step in each for result in session.debug(step, is_timed=False)]

    def _host_reference(self, library: ModelLibrary, inputs: Tensors) -> Tensors:
        """What the same MLF computes on this machine, by its call plan.

        A result is kept in the cache, so that many boards, executors, tests and runs share it.
        """
        host = self._built(library, self.boards[HOST_BOARD], AOT)
        digest = hashlib.sha256(host.build_id.encode())
        for name, array in inputs.items():
            digest.update(f"{name}:{array.dtype}:{array.shape}".encode() + array.tobytes())
        key = digest.hexdigest()[:32]
        if key not in self._references:
            entry = self.workshop.cache.obtain(
                "reference",
                key,
                lambda directory: self._run_on_host(host, inputs, directory),
                Deadline(self.options.timeout_s * 2),
                lambda: long_step(
                    f"waiting for another process to run the reference of {self._title(library)}",
                    self.workshop.progress,
                ),
            )
            self._references[key] = _load_outputs(entry.path / REFERENCE_FILE, library)
        return self._references[key]

    def compare(
        self,
        outputs: Tensors,
        reference: Tensors,
        tolerance: Tolerance,
        record: Record,
        *,
        has_steps: bool = False,
    ) -> Comparison:
        """Compare a device's outputs with the reference's, and record how far they are apart."""
        name = reference_title(self.options.reference)
        try:
            comparison = compare_outputs(outputs, reference, tolerance, name, has_steps=has_steps)
        except OutputMismatch:  # of another shape: there are no elements to count
            record.add_verdict(MISMATCH)
            raise
        record.add_comparison(comparison.elements, comparison.mismatched, comparison.max_abs_diff)
        record.add_pictures(picture.to_data() for picture in comparison.pictures)
        return comparison

    def release(self) -> None:
        """Give a board of the lab back, for others to use. Never raises."""
        self._rig.release()

    def close(self) -> None:
        """Close every device. Never raises."""
        self.release()
        for session, _record in self._sessions.values():
            session.begin_close()
        while self._sessions:
            self._close(*self._sessions.popitem()[1])
        self._bridges.close()

    def _close(self, session: Session, record: Record) -> None:
        start = time.monotonic()
        session.close()
        record.add_seconds("close", time.monotonic() - start)

    def _once(self, key: object, step: Callable[[], T]) -> T:
        """Take a step that, once it failed, fails in the same way for every test that needs it."""
        if key in self._failed:
            raise self._failed[key]
        try:
            return step()
        except MicroTVMError as error:
            self._failed[key] = error
            raise

    def _built(self, library: ModelLibrary, board: Board, executor: str) -> Firmware:
        key = (library.sha256, board.label, executor)
        if key not in self._firmware:
            title = self._title(library)
            self._firmware[key] = self._once(
                key, lambda: self.workshop.build(library, board, executor, title)
            )
        return self._firmware[key]

    def _title(self, library: ModelLibrary) -> str:
        """What tells a model from others, of one name as well."""
        return self._titles.get(library.sha256, library.name)

    def _run_on_host(self, host: Firmware, inputs: Tensors, directory: Path) -> None:
        with (
            long_step(
                f"running the reference of {self._title(host.library)}", self.workshop.progress
            ),
            Session(host, self.options.timeout_s, bridges=self._bridges) as session,
        ):
            outputs = session.run_sequence(inputs) if host.library.states else session.run(inputs)
        # By position: any name is allowed in a model, not every one in an archive.
        arrays = {f"output_{index}": array for index, array in enumerate(outputs.values())}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        (directory / REFERENCE_FILE).write_bytes(buffer.getvalue())


def _load_outputs(path: Path, library: ModelLibrary) -> Tensors:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {
                spec.name: archive[f"output_{index}"] for index, spec in enumerate(library.outputs)
            }
    except (OSError, ValueError, KeyError) as error:
        raise BuildError(
            f"the reference outputs in {path} are damaged: {error}",
            cure=f"remove {path.parent}",
        ) from error
