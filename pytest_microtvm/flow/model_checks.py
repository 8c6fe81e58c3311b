"""Holds each compiled model once to the model's own interpreter, and keeps what that came to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import MicroTVMError, ModelError
from pytest_microtvm.flow.cache import Cache
from pytest_microtvm.flow.progress import Progress, long_step, silent
from pytest_microtvm.forks import Forks
from pytest_microtvm.mlf.library import ModelLibrary
from pytest_microtvm.model_files import weight_files
from pytest_microtvm.verify import (
    interpreter_child,
    interpreters,
    model_check,
    run_litert,
    run_onnxruntime,
    run_torch,
)
from pytest_microtvm.verify.compare import Tolerance
from pytest_microtvm.verify.inputs import Tensors, make_inputs
from pytest_microtvm.verify.interpreters import (
    Interpreter,
    InterpreterKilled,
    InterpreterRun,
    interpreter_of,
    run_interpreter,
)
from pytest_microtvm.verify.model_check import ModelCheck, compare_model, first_layer, not_checked
from pytest_microtvm.verify.sequences import make_sequence

RESULT = "check.json"
TIMEOUT_S = 120.0
_ADVICE = (
    "  this is what the compiler made of the model, whatever the board; "
    "--microtvm-no-model-check leaves the check out"
)

_CODE = (interpreters, interpreter_child, run_litert, run_onnxruntime, run_torch, model_check)
"""What the result of a check depends on."""

Run = Callable[[ModelLibrary, Tensors], Tensors]
Debug = Callable[[ModelLibrary, Tensors], Sequence[NDArray[np.generic]]]


class ModelChecks:
    """The checks of one run.

    Args:
        cache: Keeps what they came to.
        tolerance: For floats.
        run: Runs a compiled model on this machine.
        debug: Runs it there kernel by kernel; what each gave.
        progress: Told of a check that takes time.
        detail: Told why a model is not checked, or what else than reference kernels it is held to.
        forks: Starts interpreters; None where each is to have a fork server of its own.
    """

    def __init__(
        self,
        cache: Cache,
        tolerance: Tolerance,
        run: Run,
        debug: Debug,
        progress: Progress = silent,
        detail: Progress = silent,
        forks: Forks | None = None,
    ) -> None:
        self._forks = forks
        self._cache = cache
        self._tolerance = tolerance
        self._run = run
        self._debug = debug
        self._progress = progress
        self._detail = detail
        self._results: dict[str, ModelCheck] = {}

    def result(self, model: Path, library: ModelLibrary) -> ModelCheck:
        """What a model's check came to; made where nobody made it yet.

        Args:
            model: The model's file.
            library: The model compiled.
        """
        if library.sha256 not in self._results:
            check = self._results[library.sha256] = self._obtain(model, library)
            if check.status == model_check.NOT_CHECKED:
                self._detail(f"not held to its own interpreter: {check.notes[0]}")
            elif check.notes and not check.differs:
                self._detail(f"{model.name} is {check.notes[0]}")
        return self._results[library.sha256]

    def _obtain(self, model: Path, library: ModelLibrary) -> ModelCheck:
        interpreter = interpreter_of(model)
        if interpreter is None:
            return not_checked(f"{model.name} has no interpreter of its own")
        if not interpreter.is_installed:
            return not_checked(
                f"{interpreter.name} is not installed: "
                f"pip install 'pytest-microtvm[{interpreter.extra}]'"
            )
        try:
            entry = self._cache.obtain(
                "check",
                self._key(model, library, interpreter),
                lambda directory: self._make(model, library, directory),
                Deadline(TIMEOUT_S * 3),
                lambda: long_step(
                    f"waiting for another process to check {library.name}", self._progress
                ),
            )
            found = json.loads((entry.path / RESULT).read_text(encoding="utf-8"))
        except MicroTVMError as error:  # of this machine, not of the model
            return not_checked(error.one_line())
        return ModelCheck(found["status"], tuple(found["notes"]))

    def _key(self, model: Path, library: ModelLibrary, interpreter: Interpreter) -> str:
        about = [library.sha256, interpreter.name, interpreter.release, repr(self._tolerance)]
        digest = hashlib.sha256(json.dumps(about).encode())
        for module in _CODE:
            digest.update(Path(str(module.__file__)).read_bytes())
        for path in (model, *weight_files(model)):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()[:32]

    def _make(self, model: Path, library: ModelLibrary, directory: Path) -> None:
        make = make_sequence if library.states else make_inputs
        inputs = make(library.name, library.inputs)
        # Beside the build of what runs the compiled model, which takes longer.
        with InterpreterRun(model, library, inputs, Deadline(TIMEOUT_S), forks=self._forks) as run:
            compiled = self._run(library, inputs)
            with long_step(f"checking {model.name} with its own interpreter", self._progress):
                check = self._compare(model, library, inputs, compiled, run)
        text = json.dumps({"status": check.status, "notes": check.notes})
        (directory / RESULT).write_text(text, encoding="utf-8")

    def _compare(
        self,
        model: Path,
        library: ModelLibrary,
        inputs: Tensors,
        compiled: Tensors,
        run: InterpreterRun,
    ) -> ModelCheck:
        try:
            interpreted = run.result()
        except InterpreterKilled:  # nothing that is worth to be kept
            raise
        except ModelError as error:
            return not_checked(error.message)
        in_float = library.float_operators is not None
        check = compare_model(compiled, interpreted, self._tolerance, in_float=in_float)
        if not check.differs:
            return check
        notes = (*check.notes, f"  {self._first_layer(model, library, inputs, in_float)}", _ADVICE)
        return ModelCheck(check.status, notes)

    def _first_layer(
        self, model: Path, library: ModelLibrary, inputs: Tensors, in_float: bool
    ) -> str:
        """The line that names the first layer that differs."""
        try:
            deadline = Deadline(TIMEOUT_S)
            found = run_interpreter(
                model, library, inputs, deadline, layers=True, forks=self._forks
            )
            tensors = [*self._debug(library, inputs), *inputs.values()]
        except MicroTVMError as error:
            return f"which layer differs first is not known: {error.one_line()}"
        layer = first_layer(found.layers, tensors, one_step=in_float or found.is_optimized)
        if layer is None:
            return "which layer differs first is not known: each layer's values are found again"
        return f"first layer that differs: {layer}"
