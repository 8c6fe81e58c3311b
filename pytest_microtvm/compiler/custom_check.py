"""Holds the kernel of a custom operator to its reference, on this machine."""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pytest_microtvm.compiler.custom import random_inputs
from pytest_microtvm.compiler.emit.functions import definition
from pytest_microtvm.compiler.kernels import generated_kernel
from pytest_microtvm.compiler.quantized.given import Custom
from pytest_microtvm.compiler.quantized.rewriting import GeneratedKernel
from pytest_microtvm.errors import ModelError
from pytest_microtvm.temporary import TemporaryFolder

if TYPE_CHECKING:
    from pytest_microtvm.compiler.custom import Array

_INCLUDE = Path(__file__).parent / "quantized" / "include"
_TIMEOUT_S = 60
_EDGE = 64
"""Bytes behind each array that a kernel must not write."""


def check_custom(spec: Custom, c_name: str) -> None:
    """Run a custom operator's kernel on made-up inputs, where it has a reference.

    Args:
        spec: The operator and its kernel.
        c_name: A name for the kernel.

    Raises:
        ModelError: Its C cannot be compiled, or computes something else than the reference; the
            reference fails, or the tolerance allows anything.
    """
    operator = spec.operator
    tolerance: object = operator.tolerance
    if not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
        raise _wrong(spec, f"its tolerance is {tolerance!r}, no finite number of 0 or more")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if operator.reference is None or compiler is None:
        return
    inputs = [*random_inputs(spec.call), *spec.states]
    try:
        wanted = list(operator.reference(spec.call, [array.copy() for array in inputs]))
    except Exception as error:  # a user's code: anything may happen
        raise _wrong(spec, f"its reference fails: {type(error).__name__}: {error}") from error
    found = _run(spec, c_name, compiler, inputs)
    if len(wanted) != len(found):
        raise _wrong(spec, f"its reference gives {len(wanted)} arrays, not {len(found)}")
    for number, (array, expected) in enumerate(zip(found, wanted, strict=True)):
        _compare(spec, number, array, np.asarray(expected))


def _compare(spec: Custom, number: int, found: Array, expected: Array) -> None:
    if expected.shape != found.shape or expected.dtype != found.dtype:
        raise _wrong(
            spec,
            f"its reference gives {expected.dtype}{list(expected.shape)} as output {number}, "
            f"not {found.dtype}{list(found.shape)}",
        )
    if found.dtype.kind == "f":
        allowed = spec.operator.tolerance
        right = np.isclose(found, expected, allowed, allowed, equal_nan=True)
    else:
        right = found == expected
    if not right.all():
        place = tuple(int(i) for i in np.argwhere(~right)[0])
        raise _wrong(
            spec,
            f"its kernel gives {found[place]} at {list(place)} of output {number}, its reference "
            f"{expected[place]}, for random inputs",
        )


def _run(spec: Custom, c_name: str, compiler: str, inputs: Sequence[Array]) -> list[Array]:
    kernel = generated_kernel(c_name, c_name, GeneratedKernel(c_name, spec.source, (), ""), ())
    headers = ["tvmgen_integer.h", *spec.source.headers]
    includes = "".join(f'#include "{header}"\n' for header in headers)
    text = (
        f"#include <math.h>\n#include <string.h>\n{includes}"
        f"#define TVMGEN_RESTRICT restrict\n{definition(kernel)}"
    )
    with TemporaryFolder("custom") as folder:
        (folder / "kernel.c").write_text(text, encoding="utf-8")
        library = folder / "kernel.so"
        command = [compiler, "-std=c99", "-O1", "-fPIC", "-shared", "-I", str(_INCLUDE)]
        command.append("-Werror=implicit-function-declaration")
        command += [str(folder / "kernel.c"), "-lm", "-o", str(library)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if "error" in line]
            said = (lines or ["the compiler does not say why"])[0].rpartition("error: ")[2]
            raise _wrong(spec, f"its C cannot be compiled: {said}")
        function = getattr(ctypes.CDLL(str(library)), c_name)
        outputs = [np.zeros(shape, dtype) for shape, dtype in spec.types]
        guarded = [np.full(array.nbytes + _EDGE, 0xA5, np.uint8) for array in outputs]
        given = [np.ascontiguousarray(array) for array in inputs]
        arrays = [*given, *guarded]
        if spec.source.workspace_bytes:
            arrays.append(np.zeros(spec.source.workspace_bytes + _EDGE, np.uint8))
        function.restype = None
        function(*(ctypes.c_void_p(array.ctypes.data) for array in arrays))
    for number, (array, raw) in enumerate(zip(outputs, guarded, strict=True)):
        if (raw[array.nbytes :] != 0xA5).any():
            raise _wrong(spec, f"its kernel writes beyond its output {number}")
        array[...] = raw[: array.nbytes].view(array.dtype).reshape(array.shape)
    return outputs


def _wrong(spec: Custom, what: str) -> ModelError:
    return ModelError(
        f"the custom operator {spec.operator.name}: {what}",
        cure="correct the operator's registration",
    )
