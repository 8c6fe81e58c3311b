"""Runs cases as users' models go: file, archive, C, shared library; and by LiteRT's BUILTIN_REF."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.errors import ModelError
from pytest_microtvm.mlf.library import ModelLibrary, extract_library, open_library, write_library
from tests.operators.cases import SAMPLES, Array, Case, merged
from tests.unit.compiler.native import C99, aligned, compile_c, guarded, is_untouched

CASES_PER_MODEL = 10
"""More make a model that takes long to compile again when it fails."""

Change = Callable[[Mapping[str, bytes]], Mapping[str, bytes]]


@dataclass(frozen=True)
class Difference:
    """What went wrong with a case.

    Args:
        case: The case.
        text: On one line.
        bytes: How many differ; 0 when it could not be compiled.
    """

    case: Case
    text: str
    bytes: int = 0

    @property
    def operator(self) -> str:
        """The case's operator."""
        return self.case.operator

    def __str__(self) -> str:
        return f"{self.case}: {self.text}"


@dataclass(frozen=True)
class CompiledModel:
    """Cases in one archive.

    Args:
        name: Of the module.
        cases: Side by side in the model.
        files: Of the archive.
    """

    name: str
    cases: Sequence[Case]
    files: Mapping[str, bytes]


def differences(
    cases: Sequence[Case],
    folder: Path,
    options: CompileOptions | None = None,
    change: Change = lambda files: files,
) -> list[Difference]:
    """Compile and run all cases on the host, and compare with LiteRT byte by byte.

    Args:
        cases: Any number.
        folder: An empty folder to work in.
        options: For the compiler; vector instructions have plain C in their place here.
        change: What is done to the files of each archive before they are built.

    Returns:
        What differs, and what could not be compiled.
    """
    models, refused = compiled(cases, folder, options)
    for model in models:
        files = change(model.files)
        write_library(folder / f"{model.name}.tar", files)
        extract_library(folder / f"{model.name}.tar", folder / model.name)
    built = shared_library(models, folder)
    found = list(refused)
    for model in models:
        library = open_library(folder / f"{model.name}.tar")
        outputs = run_native(built, library, samples(model))
        found += compared(model, outputs)
    return found


def compiled(
    cases: Sequence[Case],
    folder: Path,
    options: CompileOptions | None = None,
    cases_per_model: int = CASES_PER_MODEL,
) -> tuple[list[CompiledModel], list[Difference]]:
    """Models of `cases_per_model` cases each, and the cases that the compiler refuses."""
    folder.mkdir(parents=True, exist_ok=True)
    models: list[CompiledModel] = []
    refused: list[Difference] = []

    def compile_together(part: Sequence[Case]) -> None:
        name = f"m{len(models)}"
        path = folder / f"{name}.tflite"
        path.write_bytes(merged(part).to_bytes())
        try:
            files = compile_to_files(path, options)
        except ModelError as error:
            if len(part) == 1:
                refused.append(Difference(part[0], error.message))
            for case in part if len(part) > 1 else ():
                compile_together([case])
        else:
            models.append(CompiledModel(name, part, files))

    for start in range(0, len(cases), cases_per_model):
        compile_together(cases[start : start + cases_per_model])
    return models, refused


def shared_library(models: Sequence[CompiledModel], folder: Path) -> ctypes.CDLL:
    """The kernels and call plans of all models in one library."""
    objects = []
    for model in models:
        root = folder / model.name
        for part in (0, 1):
            source = root / "codegen/host/src" / f"{model.name}_lib{part}.c"
            objects.append(str(folder / f"{model.name}_{part}.o"))
            compile_c([*C99, "-O1", "-fPIC", "-c"], root, [str(source), "-o", objects[-1]])
    built = str(folder / "cases.so")
    compile_c(["gcc", "-shared"], folder, [*objects, "-lm", "-o", built])
    return ctypes.CDLL(built)


def run_native(
    built: ctypes.CDLL, library: ModelLibrary, sequence: Sequence[Sequence[Array]]
) -> list[list[Array]]:
    """Run a model of a shared library; nothing but its outputs, arena and states is written."""
    workspace, arena = guarded(library.workspace_bytes)
    states, kept = guarded(_state_bytes(library))
    pools = (ctypes.c_void_p * 2)(arena, kept)
    if _state_bytes(library):
        assert _function(built, library, "reset")(pools) == 0
    found = []
    for inputs in sequence:
        given = [aligned(spec, array) for spec, array in zip(library.inputs, inputs, strict=True)]
        results = [aligned(spec, None) for spec in library.outputs]
        assert _function(built, library, "run")(_pointers(given), _pointers(results), pools) == 0
        assert is_untouched(workspace), f"{library.name} wrote outside of its arena"
        assert is_untouched(states), f"{library.name} wrote outside of its states"
        for array, before in zip(given, inputs, strict=True):
            np.testing.assert_array_equal(array, before, err_msg=f"{library.name} wrote an input")
        found.append(results)
    return found


def _state_bytes(library: ModelLibrary) -> int:
    functions = library.metadata["modules"][library.name]["memory"]["functions"]
    return int(functions["main"][0].get("state_size_bytes", 0))


def _function(built: ctypes.CDLL, library: ModelLibrary, name: str) -> Any:
    function = getattr(built, f"tvmgen_{library.name}_{name}")
    function.restype = ctypes.c_int32
    return function


def _pointers(arrays: Sequence[Array]) -> Any:
    return (ctypes.c_void_p * max(1, len(arrays)))(*(array.ctypes.data for array in arrays))


def samples(model: CompiledModel) -> list[list[Array]]:
    """The inputs of a model, once for each sample."""
    by_case = [case.samples for case in model.cases]
    return [[array for given in by_case for array in given[n]] for n in range(SAMPLES)]


def compared(model: CompiledModel, outputs: Sequence[Sequence[Array]]) -> list[Difference]:
    """What differs from LiteRT, at most one difference for each case."""
    found: dict[str, Difference] = {}
    reference = _references(model)
    for number, (results, expected) in enumerate(zip(outputs, reference, strict=True)):
        position = 0
        for case in model.cases:
            for index in case.outputs:
                given = case.samples[number] if case.is_clamped else []
                text, count = _differs(results[position], expected[position], case.tolerance, given)
                position += 1
                if count and case.name not in found:
                    what = f"output {case.tensors[index].name}, sample {number}, {text}"
                    found[case.name] = Difference(case, what, count)
    return list(found.values())


def _references(model: CompiledModel) -> list[list[Array]]:
    """What LiteRT gives for each sample.

    A model that has one operator without a reference kernel is run by other kernels throughout,
    which round otherwise: its cases are run one by one then.
    """
    from ai_edge_litert.interpreter import OpResolverType

    together = merged(model.cases).to_bytes()
    try:
        return _run_litert(together, samples(model), OpResolverType.BUILTIN_REF)
    except ValueError as error:
        if "Didn't find op" not in str(error):
            raise
    by_case = [run_litert(merged([case]).to_bytes(), case.samples) for case in model.cases]
    return [[array for given in by_case for array in given[n]] for n in range(SAMPLES)]


def run_litert(model: bytes, sequence: Sequence[Sequence[Array]]) -> list[list[Array]]:
    """The outputs of LiteRT's reference kernels; of its others where it has no such kernel."""
    from ai_edge_litert.interpreter import OpResolverType

    try:
        return _run_litert(model, sequence, OpResolverType.BUILTIN_REF)
    except ValueError as error:
        if "Didn't find op" not in str(error):
            raise
    return _run_litert(model, sequence, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)


def _run_litert(
    model: bytes, sequence: Sequence[Sequence[Array]], resolver: Any
) -> list[list[Array]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(
        model_content=model, experimental_op_resolver_type=resolver, num_threads=1
    )
    interpreter.allocate_tensors()
    found = []
    for inputs in sequence:
        for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(detail["index"], array)
        interpreter.invoke()
        details = interpreter.get_output_details()
        found.append([np.array(interpreter.get_tensor(d["index"])) for d in details])
    return found


def _differs(
    actual: Array, expected: Array, tolerance: float, given: Sequence[Array]
) -> tuple[str, int]:
    """Where two tensors differ, and how many bytes do.

    Args:
        actual: What was computed.
        expected: By LiteRT.
        tolerance: As of a case.
        given: Inputs whose products are summed up, where results do not show how large these are.
    """
    if actual.size != expected.size or actual.dtype != expected.dtype:
        text = f"{actual.dtype} {actual.shape} instead of {expected.dtype} {expected.shape}"
        return text, max(actual.nbytes, expected.nbytes)
    got, wanted = (array.reshape(-1) for array in (actual, expected))
    # Sums cancel: what they may be off by goes by the largest result.
    largest = max(1.0, *(float(np.abs(a).max(initial=0)) for a in (wanted, *given)))
    if tolerance and np.allclose(got, wanted, tolerance, tolerance * largest, equal_nan=True):
        return "", 0
    wrong = got.view(np.uint8) != wanted.view(np.uint8)
    count = int(wrong.sum())
    if not count:
        return "", 0
    first = int(wrong.argmax()) // actual.itemsize
    values = f"element {first} is {got[first]} instead of {wanted[first]}"
    return f"{count} of {wrong.size} bytes differ, {values}", count
