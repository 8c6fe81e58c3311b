"""Packs many small cases into one model, so that one compilation and one build serve them all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from pytest_microtvm.compiler import compile_to_files
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.tflite_models import Model, Operator, Tensor

Array = npt.NDArray[Any]


@dataclass
class Case:
    """One operator, or a few in a row, with its tensors.

    Args:
        name: What it is, for messages.
        tensors: All of its tensors.
        operators: By positions in `tensors`.
        inputs: Positions of its inputs.
        outputs: Positions of its outputs.
    """

    name: str
    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def add(self, tensor: Tensor) -> int:
        """Add a tensor; returns its position."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def apply(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], *options: Any
    ) -> None:
        """Add an operator."""
        self.operators.append(Operator(name, inputs, outputs, options[0] if options else None))


def options(kind: str, vectors: dict[str, Sequence[int]] | None = None, **fields: Any) -> Any:
    """Options of an operator: `kind` without "Options", its fields by their names."""
    name = f"{kind}Options"

    def write(builder: flatbuffers.Builder) -> int:
        written = {
            field: builder.CreateNumpyVector(np.array(values, np.int32))
            for field, values in (vectors or {}).items()
        }
        getattr(tflite, f"{name}Start")(builder)
        for field_name, value in (*fields.items(), *written.items()):
            getattr(tflite, f"{name}Add{field_name}")(builder, value)
        return int(getattr(tflite, f"{name}End")(builder))

    return name, write


def packed(cases: Sequence[Case]) -> bytes:
    """A model that holds all cases side by side."""
    model = Model([], [], [], [])
    for number, case in enumerate(cases):
        start = len(model.tensors)
        model.tensors += [
            replace(tensor, name=f"case{number}_{position}")
            for position, tensor in enumerate(case.tensors)
        ]

        def moved(positions: Sequence[int], start: int = start) -> list[int]:
            return [start + position if position >= 0 else -1 for position in positions]

        model.operators += [
            replace(operator, inputs=moved(operator.inputs), outputs=moved(operator.outputs))
            for operator in case.operators
        ]
        model.inputs = [*model.inputs, *moved(case.inputs)]
        model.outputs = [*model.outputs, *moved(case.outputs)]
    return model.to_bytes()


class Reference:
    """LiteRT's reference kernels on a model.

    Args:
        model: The bytes of a TFLite file.
    """

    def __init__(self, model: bytes) -> None:
        self._interpreter = Interpreter(
            model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
        )
        self._interpreter.allocate_tensors()

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        """The outputs for inputs in the model's order."""
        interpreter = self._interpreter
        for details, array in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(details["index"], array)
        interpreter.invoke()
        return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def inputs_for(cases: Sequence[Case], rng: np.random.Generator, kind: str) -> list[Array]:
    """Values for all inputs of a pack.

    Args:
        cases: The pack.
        rng: Decides.
        kind: "uniform" over the range of the type, "edges": its least and greatest value only, or
            "narrow": close to the zero point.
    """
    return [
        _values(case.tensors[position], rng, kind) for case in cases for position in case.inputs
    ]


def _values(tensor: Tensor, rng: np.random.Generator, kind: str) -> Array:
    shape = tuple(tensor.shape)
    if tensor.dtype == "FLOAT32":
        return (rng.normal(size=shape) * (100.0 if kind == "edges" else 3.0)).astype(np.float32)
    limits = np.iinfo(tensor.dtype.lower())
    if kind == "edges":
        return rng.choice([limits.min, limits.max], shape).astype(limits.dtype)
    if kind == "narrow" and tensor.quantization is not None:
        near = tensor.quantization.zero_points[0] + rng.integers(-3, 4, shape)
        return np.clip(near, limits.min, limits.max).astype(limits.dtype)
    return rng.integers(limits.min, limits.max, shape, limits.dtype, endpoint=True)


@dataclass(frozen=True)
class Difference:
    """A case whose output is not the reference's."""

    case: str
    differing: int
    total: int
    greatest: float

    def __str__(self) -> str:
        return f"{self.case}: {self.differing} of {self.total} differ, by up to {self.greatest:g}"


class Pack:
    """Cases compiled, built for this machine, and compared with the reference.

    Args:
        cases: Not more than a few hundred.
        directory: An empty folder.
        flags: For the C compiler.
        change: Applied to the archive's files before they are built.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        directory: Path,
        flags: Sequence[str] = ("-O1",),
        change: Callable[[dict[str, bytes]], dict[str, bytes]] = lambda files: files,
    ) -> None:
        self._cases = cases
        self.model = packed(cases)
        path = directory / "pack.tflite"
        path.write_bytes(self.model)
        self.files = change(dict(compile_to_files(path)))
        self._native = NativeModel(self.files, directory, flags)
        self._reference = Reference(self.model)

    def differences(
        self, rng: np.random.Generator, kinds: Sequence[str] = ("uniform", "edges", "narrow")
    ) -> list[Difference]:
        """The cases that differ for some input of each of `kinds`."""
        names = [case.name for case in self._cases for _ in case.outputs]
        found = {}
        for kind in kinds:
            inputs = inputs_for(self._cases, rng, kind)
            expected = self._reference(inputs)
            actual = self._native(*inputs)
            for position, (want, got) in enumerate(zip(expected, actual, strict=True)):
                differing = int((_bits(want) != _bits(got)).sum())
                if differing:
                    distance = np.abs(want.astype(np.float64) - got.astype(np.float64)).max()
                    found[position] = Difference(
                        f"{names[position]} ({kind})", differing, want.size, float(distance)
                    )
        return list(found.values())


def _bits(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def differences(cases: Sequence[Case], rng: np.random.Generator) -> list[Difference]:
    """Build and compare cases; see `Pack`."""
    with tempfile.TemporaryDirectory() as folder:
        return Pack(cases, Path(folder)).differences(rng)
