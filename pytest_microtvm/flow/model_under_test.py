"""One model on one board: what a test holds in its hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from numpy.typing import ArrayLike

from pytest_microtvm.boards import Board
from pytest_microtvm.compiler.options import Reading
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.flow.evaluation import Evaluation, Samples, evaluate
from pytest_microtvm.flow.harness import Harness
from pytest_microtvm.measure.metrics import Metrics
from pytest_microtvm.mlf.library import ModelLibrary, TensorSpec
from pytest_microtvm.model_files import plain_path
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.device import Session
from pytest_microtvm.verify.compare import Comparison, Tolerance
from pytest_microtvm.verify.explain import Explanation
from pytest_microtvm.verify.inputs import (
    NamedTensors,
    Tensors,
    check_inputs,
    make_inputs,
    signature_names,
)
from pytest_microtvm.verify.quantization import quantized, real_numbers
from pytest_microtvm.verify.sequences import check_sequence, make_sequence

Inputs = Mapping[str, ArrayLike] | ArrayLike | None


@dataclasses.dataclass(frozen=True)
class Difference:
    """What a device computed wrongly.

    Attributes:
        inputs: What it was given: one array per input; of a model with states a sequence of them.
        explanation: Where it goes wrong.
    """

    inputs: Tensors
    explanation: Explanation


class ModelUnderTest:
    """A model, the board it runs on and the executor it runs with.

    Each step (compile, build, open) is taken when it is first needed, and shared with every other
    test of the same model, board and executor.

    Args:
        harness: Takes the steps.
        model: The model file, or an MLF archive.
        board: The board.
        executor: The executor.
        on_log: Told the lines that the device logs.
        reading: How the model is read; None as the run reads all models.

    Attributes:
        on_use: Told before each use of the device.
        difference: What the latest comparison that found a difference found; None before.
    """

    def __init__(
        self,
        harness: Harness,
        model: Path,
        board: Board,
        executor: str,
        on_log: Callable[[str], None],
        reading: Reading | None = None,
    ) -> None:
        self.model = plain_path(model)
        self.board = board
        self.executor = executor
        self.record = harness.record(self.model, board, executor, reading)
        self._reading = reading
        self._harness = harness
        self._on_log = on_log
        self._begun: Session | None = None
        self.on_use: Callable[[ModelUnderTest], None] = lambda used: None
        self.difference: Difference | None = None

    def __repr__(self) -> str:
        return f"<{self.model.name} on {self.board.label}, {self.executor}>"

    @property
    def platform(self) -> str:
        """The name of the board's platform."""
        return self.board.platform

    @cached_property
    def library(self) -> ModelLibrary:
        """The model compiled to MLF.

        Raises:
            ModelError: It cannot be compiled.
        """
        return self._harness.compile(self.model, self.board, self.record, self._reading).library

    @cached_property
    def firmware(self) -> Firmware:
        """The built project.

        Raises:
            BuildError: It cannot be built.
        """
        return self._harness.build(self.library, self.board, self.record)

    @property
    def session(self) -> Session:
        """The open device.

        Raises:
            MicroTVMError: It cannot be opened.
        """
        self.on_use(self)
        session = self._harness.open(self.firmware, self.record, self._on_log)
        if session is not self._begun:
            session.reset()  # another test may have left a state behind
            self._begun = session
        return session

    def begin_anew(self) -> None:
        """Have the next use of the device begin with the model's initial state."""
        self._begun = None

    @property
    def metrics(self) -> Metrics:
        """What the model costs on the board; some figures are there only after a run."""
        self._harness.take_figures(self.session, self.record)
        return self.record.figures()

    def run(self, inputs: Inputs = None) -> Tensors:
        """Run the model on the device; one with states goes on from what the run before left.

        Args:
            inputs: One array per input by name, or a bare array for a model with one input; of the
                input's shape and dtype. None makes them, the same in every run.

        Returns:
            One array per output by name: the model's, or that of its signature.

        Raises:
            ConfigError: The inputs do not fit the model.
            MicroTVMError: The device did not answer or refused.
            OutputMismatch: The compiled model is not what the model's own interpreter computes.
        """
        self._harness.check_model(self.model, self.library, self.record)
        specs = self.library.inputs
        if inputs is not None:
            tensors = check_inputs(inputs, specs)
        elif self.library.states:
            tensors = make_inputs(self.library.name, specs)
        else:
            tensors = self._fit(None)
        outputs = self._harness.run_step(self.session, tensors, self.record)
        return NamedTensors(outputs, self.library.outputs)

    def run_float(self, inputs: Mapping[str, ArrayLike] | ArrayLike) -> Tensors:
        """Run the model on real numbers, whatever it computes in.

        Args:
            inputs: As of `run`; an input that is quantized takes real numbers, by its scale and
                zero point, which `library.inputs` has.

        Returns:
            One array per output by name: float32 for those that are quantized.

        Raises:
            ConfigError: The inputs do not fit the model.
            MicroTVMError: As of `run`.
        """
        specs = self.library.inputs
        outputs = self.run(quantized(inputs, specs))
        return NamedTensors(real_numbers(outputs, self.library.outputs), self.library.outputs)

    def reset(self) -> None:
        """Give a model with states its initial state; others have none to lose.

        Raises:
            MicroTVMError: The device did not answer or refused.
        """
        self.session.reset()

    def run_sequence(self, inputs: Inputs = None) -> Tensors:
        """Run the model on a sequence of inputs, from its initial state on.

        Args:
            inputs: One array per input by name, or a bare array for a model with one input; of the
                input's dtype, and of its shape with the steps as first dimension. None makes them,
                the same in every run.

        Returns:
            One array per output by name, with the steps as first dimension.

        Raises:
            ConfigError: The inputs do not fit the model.
            MicroTVMError: The device did not answer or refused.
            OutputMismatch: As of `run`.
        """
        library = self.library
        self._harness.check_model(self.model, library, self.record)
        if inputs is None:
            tensors = make_sequence(library.name, library.inputs)
        else:
            tensors = check_sequence(inputs, library.inputs)
        outputs = self._harness.run_sequence(self.session, tensors, self.record)
        return NamedTensors(outputs, library.outputs)

    def reference(self, inputs: Inputs = None) -> Tensors:
        """What the outputs are compared with; arguments and result as of `run`.

        That is what the same MLF computes on this machine, unless `--microtvm-reference` says
        otherwise.
        """
        outputs = self._harness.reference(self.model, self.library, self.board, self._fit(inputs))
        return NamedTensors(outputs, self.library.outputs)

    def compare(
        self,
        inputs: Inputs = None,
        *,
        rtol: float | None = None,
        atol: float | None = None,
        equal_nan: bool | None = None,
    ) -> Comparison:
        """Run the model on the device, and compare its outputs with the reference's.

        Where they differ the comparison's notes name the first kernel that differs from this
        machine's.

        Args:
            inputs: As of `run`; of a model with states a sequence of them, as of `run_sequence`.
            rtol: Relative tolerance for floats; None for the run's.
            atol: Absolute tolerance for floats; None for the run's.
            equal_nan: Whether a NaN is right where the reference has one; None for the run's.

        Returns:
            The comparison, whatever it says.

        Raises:
            OutputMismatch: The compiled model is not what the model's own interpreter computes.
        """
        default = self._harness.options.tolerance
        tolerance = Tolerance(
            default.rtol if rtol is None else rtol,
            default.atol if atol is None else atol,
            default.equal_nan if equal_nan is None else equal_nan,
        )
        tensors = self._fit(inputs)
        self._harness.check_model(self.model, self.library, self.record)
        outputs = self._harness.run(self.session, tensors, self.record)
        reference = self._harness.reference(self.model, self.library, self.board, tensors)
        comparison = self._harness.compare(
            outputs, reference, tolerance, self.record, has_steps=bool(self.library.states)
        )
        if comparison.mismatched > comparison.nan_mismatches:
            found = self._harness.explain(self.library, self.board, tensors)
            self.difference = Difference(tensors, found)
            comparison = dataclasses.replace(comparison, notes=found.notes)
        return comparison

    def check(
        self,
        inputs: Inputs = None,
        *,
        rtol: float | None = None,
        atol: float | None = None,
        equal_nan: bool | None = None,
    ) -> None:
        """Hold the device to what the same MLF computes on this machine.

        Args:
            inputs: As of `run`.
            rtol: Relative tolerance for floats; None for the run's (1e-5 unless set).
            atol: Absolute tolerance for floats; None for the run's (1e-6 unless set).
            equal_nan: Whether a NaN is right where the reference has one; None for the run's (no
                unless set).

        Raises:
            OutputMismatch: Some output differs: the test fails.
            MicroTVMError: There is no verdict: the test is an error.
        """
        __tracebackhide__ = True  # a failure is of the test's line
        comparison = self.compare(inputs, rtol=rtol, atol=atol, equal_nan=equal_nan)
        comparison.raise_on_mismatch()

    def evaluate(
        self,
        samples: Samples,
        labels: ArrayLike,
        metric: str = "accuracy",
        *,
        output: str | None = None,
    ) -> Evaluation:
        """Run a data set on the device and on this machine, and score the outputs of both.

        Args:
            samples: One array per input by name, with one row for each sample; or a bare array for
                a model with one input. A model with states has its initial state for each sample,
                which may be a sequence, with the steps as second dimension: its last is scored.
            labels: The number of each sample's class, or for "mse" the outputs that are right.
            metric: "accuracy", "top5", "auc" or "mse".
            output: The output that is scored; None for the first.

        Returns:
            The scores, whatever they are.

        Raises:
            ConfigError: Samples, labels or metric do not fit the model.
            MicroTVMError: The device did not answer or refused.
            OutputMismatch: The compiled model is not what the model's own interpreter computes.
        """
        harness, library = self._harness, self.library
        harness.check_model(self.model, library, self.record)

        def on_device(inputs: Tensors) -> Tensors:
            return last(harness.run(self.session, self._fit(inputs), self.record))

        def on_host(inputs: Tensors) -> Tensors:
            return last(harness.run_on_host(library, self._fit(inputs)))

        def last(outputs: Tensors) -> Tensors:
            if not library.states:
                return outputs
            return {name: steps[-1] for name, steps in outputs.items()}

        return evaluate(
            library.inputs,
            samples,
            labels,
            metric,
            _named_output(library, output),
            (on_device, on_host),
            harness.workshop.progress,
            has_states=bool(library.states),
        )

    def _fit(self, inputs: Inputs) -> Tensors:
        if inputs is None:
            return self._harness.inputs(self.library)
        check = check_sequence if self.library.states else check_inputs
        return check(inputs, self.library.inputs)


def _named_output(library: ModelLibrary, name: str | None) -> TensorSpec:
    """An output by its name, the model's or its signature's; the first if none is named."""
    if name is None:
        return library.outputs[0]
    wanted = signature_names(library.outputs).get(name, name)
    for spec in library.outputs:
        if spec.name == wanted:
            return spec
    known = ", ".join(repr(spec.name) for spec in library.outputs)
    raise ConfigError(f"the model has no output {name!r}", cure=f"it has {known}")
