"""An open device that runs a project's firmware."""

from __future__ import annotations

import contextlib
from types import TracebackType

from pytest_microtvm.flow.harness import Harness
from pytest_microtvm.flow.model_under_test import Inputs
from pytest_microtvm.measure.metrics import Metrics
from pytest_microtvm.measure.records import Record
from pytest_microtvm.mlf.library import ModelLibrary
from pytest_microtvm.session.device import Session
from pytest_microtvm.verify.inputs import NamedTensors, Tensors, check_inputs, make_inputs
from pytest_microtvm.verify.sequences import check_sequence, make_sequence


class Device:
    """A device, open until it is closed; use it as a context manager.

    Attributes:
        library: The model that it runs.
        session: The session beneath; its `rpc` is TVM's own session object.
    """

    def __init__(
        self,
        session: Session,
        harness: Harness,
        record: Record,
        resources: contextlib.ExitStack,
    ) -> None:
        self.library: ModelLibrary = session.firmware.library
        self.session = session
        self._harness = harness
        self._record = record
        self._resources = resources
        self._has_begun = False

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def board(self) -> str:
        """What the device is called: its board, and its name in the lab if it is a real one."""
        return self.session.board

    @property
    def metrics(self) -> Metrics:
        """What the model costs on the device; some figures are there only after a run."""
        self._harness.take_figures(self.session, self._record)
        return self._record.figures()

    @property
    def run_s(self) -> float | None:
        """Seconds that the latest run took, by the device's timer; None before the first.

        After a sequence it is the mean of its steps.
        """
        return self.session.run_s

    def run(self, inputs: Inputs = None) -> Tensors:
        """Run the model once; one with states goes on from what the run before left.

        Args:
            inputs: One array per input by name, or a bare array for a model with one input; of the
                input's shape and dtype. None makes them, the same in every run.

        Returns:
            One array per output by name: the model's, or that of its signature.

        Raises:
            ConfigError: The inputs do not fit the model.
            MicroTVMError: The device did not answer or refused; it is closed then.
        """
        library = self.library
        if inputs is None:
            tensors = make_inputs(library.name, library.inputs)
        else:
            tensors = check_inputs(inputs, library.inputs)
        if not self._has_begun:
            self.reset()  # a real board may have run before
        return self._named(self._harness.run_step(self.session, tensors, self._record))

    def run_sequence(self, inputs: Inputs = None) -> Tensors:
        """Run the model on a sequence of inputs, from its initial state on.

        Args:
            inputs: As of `run`, each array with the steps as first dimension.

        Returns:
            One array per output by name, with the steps as first dimension.

        Raises:
            ConfigError: The inputs do not fit the model.
            MicroTVMError: The device did not answer or refused; it is closed then.
        """
        library = self.library
        if inputs is None:
            tensors = make_sequence(library.name, library.inputs)
        else:
            tensors = check_sequence(inputs, library.inputs)
        self._has_begun = True
        return self._named(self._harness.run_sequence(self.session, tensors, self._record))

    def reset(self) -> None:
        """Give a model with states its initial state, which it has when it is opened.

        Raises:
            MicroTVMError: The device did not answer or refused.
        """
        self.session.reset()
        self._has_begun = True

    def _named(self, outputs: Tensors) -> NamedTensors:
        return NamedTensors(outputs, self.library.outputs)

    def close(self) -> None:
        """Let go of the device, and end every process that was started for it. Never raises."""
        self._resources.close()
