"""The original model run by its own interpreter on this machine: a second opinion on the compiler.

That is LiteRT for TFLite models, onnxruntime for ONNX models and PyTorch for its exported programs,
where they are installed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import ConfigError, ModelError
from pytest_microtvm.forks import ForkError, Forks, Program
from pytest_microtvm.mlf.library import ModelLibrary, TensorSpec
from pytest_microtvm.model_files import suffix_of
from pytest_microtvm.verify.inputs import Tensors
from pytest_microtvm.verify.sequences import with_steps

CHILD = Program("pytest_microtvm.verify.interpreter_child", ("ai_edge_litert.interpreter",))
_LONGEST_REASON = 300
_FROM_OUTSIDE = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, signal.SIGTERM)


@dataclass(frozen=True)
class Interpreter:
    """An interpreter of models.

    Attributes:
        name: What people call it.
        format: What people call its models.
        module: The module that it is imported as.
        package: The package that it is installed from.
        extra: The extra of this package that installs it; its name as a reference, too.
    """

    name: str
    format: str
    module: str
    package: str
    extra: str

    @property
    def is_installed(self) -> bool:
        """Whether it can be used."""
        return importlib.util.find_spec(self.module) is not None

    @property
    def release(self) -> str:
        """The installed release."""
        return metadata.version(self.package)


_INTERPRETERS = {
    ".tflite": Interpreter("LiteRT", "TFLite model", "ai_edge_litert", "ai-edge-litert", "litert"),
    ".onnx": Interpreter("onnxruntime", "ONNX model", "onnxruntime", "onnxruntime", "onnxruntime"),
    ".pt2": Interpreter("PyTorch", "program of torch.export", "torch", "torch", "torch"),
}


@dataclass(frozen=True)
class InterpretedLayer:
    """What one operator of the model gave.

    Attributes:
        kind: The operator, as its format names it.
        name: Of the operator or its first output.
        inputs: Which layers gave its inputs.
        outputs: Its outputs.
    """

    kind: str
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Interpreted:
    """What an interpreter made of a model.

    Attributes:
        title: The interpreter, as a report calls it.
        outputs: By the names of the model's outputs.
        is_optimized: Whether its integer kernels may round otherwise than the format's reference.
        is_rough: Whether those kernels are of layers, whose differences later ones may let grow.
        steps: For each output how far apart neighbours are, where it is the float of a quantized
            tensor; else 0.
        hybrid: Operators that it computes by rounding activations as it runs.
        is_half: Whether it computes in floats of 16 bits, where the compiled model does in 32.
        layers: Each operator, where that was asked for.
    """

    title: str
    outputs: Tensors
    is_optimized: bool
    steps: tuple[float, ...]
    hybrid: tuple[str, ...]
    is_half: bool = False
    is_rough: bool = False
    layers: tuple[InterpretedLayer, ...] = ()


def interpreter_of(model: Path) -> Interpreter | None:
    """The interpreter of a model's format, installed or not; None where there is none."""
    return _INTERPRETERS.get(suffix_of(model))


def require_interpreter(model: Path, reference: str) -> None:
    """Make sure that an interpreter can run a model.

    Args:
        model: The file.
        reference: One of `references.INTERPRETERS`.

    Raises:
        ConfigError: The interpreter is not installed, or the model is of another's format.
    """
    interpreter = next(each for each in _INTERPRETERS.values() if each.extra == reference)
    if interpreter_of(model) is not interpreter:
        raise ConfigError(
            f"{model.name} is no {interpreter.format}, which the reference {reference} needs",
            cure="use another --microtvm-reference",
        )
    if not interpreter.is_installed:
        raise ConfigError(
            f"{interpreter.name} is not installed",
            cure=f"pip install 'pytest-microtvm[{interpreter.extra}]'",
        )


class InterpreterKilled(ModelError):
    """Somebody ended the interpreter, or there was no memory: the model may be fine next time."""


class InterpreterRun:
    """A model that its own interpreter runs, in a child process beside this one.

    As a context, it begins the run, and leaves nothing of it.

    Args:
        model: A file that has an interpreter, which is installed.
        library: The model compiled: its inputs and outputs, and which of its signatures they are
            of. Of a signature, no layers are told.
        inputs: One array per input, by name; where the model has states, the first dimension is the
            step of a sequence over which it keeps them, as it is of the outputs.
        deadline: The child is killed when it expires.
        layers: Keep what every operator gives; in the last step, if there are several.
        forks: Starts the process; None for a fork server of its own.
    """

    def __init__(
        self,
        model: Path,
        library: ModelLibrary,
        inputs: Tensors,
        deadline: Deadline,
        *,
        layers: bool = False,
        forks: Forks | None = None,
    ) -> None:
        interpreter = interpreter_of(model)
        assert interpreter is not None
        self._name = interpreter.name
        self._forks = forks
        self._model = model
        self._deadline = deadline
        self._inputs = [inputs[spec.name] for spec in library.inputs]
        self._outputs: Sequence[TensorSpec] = library.outputs
        self._options = [
            *(["--layers"] if layers else []),
            *(["--steps"] if library.states else []),
        ]
        if library.signature is not None:
            sides = [
                [spec.signature_name or "" for spec in specs]
                for specs in (library.inputs, library.outputs)
            ]
            self._options += ["--signature", json.dumps([library.signature, *sides])]
        if library.states:
            self._outputs = with_steps(library.outputs, len(self._inputs[0]))
        self._context = contextlib.ExitStack()

    def __enter__(self) -> InterpreterRun:
        """Begin the run.

        Raises:
            ModelError: The child cannot be started.
        """
        # Files, where pipes would need this process to attend to them.
        with contextlib.ExitStack() as context:
            try:
                given, self._answer, self._printed = (
                    context.enter_context(tempfile.TemporaryFile()) for _ in range(3)
                )
                arrays = {f"input_{i}": array for i, array in enumerate(self._inputs)}
                np.savez(given, **arrays)  # type: ignore[arg-type]
                given.seek(0)
                forks = self._forks or context.enter_context(Forks())
                self._child = forks.start(
                    CHILD,
                    [str(self._model.absolute()), *self._options],
                    (given.fileno(), self._answer.fileno(), self._printed.fileno()),
                    deadline=self._deadline,
                )
            except OSError as error:
                raise self._cannot(error.strerror or f"{error}") from error
            except ForkError as error:
                raise (
                    self._too_late() if error.is_late else self._cannot(f"its process {error.what}")
                ) from error
            context.callback(self._child.end)
            self._context = context.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        """End the run, if it goes on."""
        self._context.close()

    def result(self) -> Interpreted:
        """Wait for the end of the run.

        Raises:
            InterpreterKilled: A signal that no model causes ended it.
            ModelError: The interpreter cannot run the model, crashes on it, takes too long, or sees
                other tensors in it.
        """
        try:
            status = self._child.wait(self._deadline.remaining_s)
        except subprocess.TimeoutExpired as error:
            raise self._too_late() from error
        if status < 0:
            kind = InterpreterKilled if -status in _FROM_OUTSIDE else ModelError
            raise self._cannot(f"it ended by signal {signal.Signals(-status).name}", kind)
        if status > 0:
            self._printed.seek(0)
            printed = self._printed.read().decode("utf-8", "replace").strip().splitlines()
            why = printed[-1] if printed else "it does not say why"
            raise self._cannot(why[:_LONGEST_REASON])
        try:
            self._answer.seek(0)
            with np.load(self._answer, allow_pickle=False) as found:
                about = json.loads(found["about"].tobytes())
                return _interpreted(about, found, self._outputs)
        except (OSError, ValueError, KeyError) as error:
            raise self._cannot(f"{error}") from error

    def _too_late(self) -> ModelError:
        return self._cannot(f"it took longer than {self._deadline.timeout_s:g} s")

    def _cannot(self, why: str, kind: type[ModelError] = ModelError) -> ModelError:
        return kind(
            f"{self._name} cannot run {self._model.name}: {why}",
            cure="use another --microtvm-reference",
        )


def run_interpreter(
    model: Path,
    library: ModelLibrary,
    inputs: Tensors,
    deadline: Deadline,
    *,
    layers: bool = False,
    forks: Forks | None = None,
) -> Interpreted:
    """Run a model by its own interpreter, to its end; arguments as of `InterpreterRun`.

    Raises:
        ModelError: The interpreter cannot run the model, crashes on it, takes too long, or sees
            other tensors in it.
    """
    with InterpreterRun(model, library, inputs, deadline, layers=layers, forks=forks) as run:
        return run.result()


def _interpreted(about: dict[str, Any], found: Any, specs: Sequence[TensorSpec]) -> Interpreted:
    outputs: Tensors = {}
    for i, spec in enumerate(specs):
        array = np.array(found[f"output_{i}"])
        if array.dtype != np.dtype(spec.dtype) or array.size != int(np.prod(spec.shape)):
            raise ValueError(
                f"the output {spec.name!r} is {array.dtype}{list(array.shape)}, "
                f"not {spec.dtype}{list(spec.shape)}"
            )
        outputs[spec.name] = array.reshape(spec.shape)
    layers = []
    for position, layer in enumerate(about["layers"]):
        prefix = f"layer_{position}_"
        names = [name for name in found.files if name.startswith(prefix)]
        layers.append(
            InterpretedLayer(
                layer["kind"],
                layer["name"],
                tuple(layer["inputs"]),
                tuple(np.array(found[name]) for name in names),
            )
        )
    return Interpreted(
        about["title"],
        outputs,
        about["is_optimized"],
        tuple(about["steps"]),
        tuple(about["hybrid"]),
        about["is_half"],
        about.get("is_rough", False),
        tuple(layers),
    )
