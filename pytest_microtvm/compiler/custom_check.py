"""Holds the kernel of a custom operator to its reference, on this machine."""

from __future__ import annotations

import math
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pytest_microtvm.compiler.custom import random_inputs, where_it_failed
from pytest_microtvm.compiler.emit.functions import definition
from pytest_microtvm.compiler.kernels import generated_kernel
from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.compiler.quantized.given import Custom
from pytest_microtvm.compiler.quantized.rewriting import GeneratedKernel
from pytest_microtvm.errors import ModelError
from pytest_microtvm.temporary import TemporaryFolder

if TYPE_CHECKING:
    from pytest_microtvm.compiler.custom import Array

_INCLUDE = Path(__file__).parent / "quantized" / "include"
_COMPILE_TIMEOUT_S = 60
_RUN_TIMEOUT_S = 60
_EDGE = 64
"""Bytes behind each array that a kernel must not write."""
_RUBBISH, _STEP = 0xA5, 0x1D
"""What memory that nobody wrote holds, which is not zero on a board either; and by how much it is
another in the next array, so that what is copied from beyond one shows."""


def check_custom(spec: Custom, c_name: str) -> None:
    """Run a custom operator's kernel on made-up inputs, where it has a reference.

    Args:
        spec: The operator and its kernel.
        c_name: A name for the kernel.

    Raises:
        ModelError: Its C cannot be compiled, does not end well, writes where it must not, or
            computes something else than the reference; the reference fails, or the tolerance allows
            anything.
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
        raise _wrong(spec, f"its reference fails: {where_it_failed(error)}") from error
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
    """The outputs of the kernel, by a program of its own: it may do anything."""
    given = [np.ascontiguousarray(array) for array in inputs]
    outputs: list[Array] = [np.zeros(shape, dtype) for shape, dtype in spec.types]
    scratch = spec.source.workspace_bytes
    sizes = [array.nbytes for array in (*given, *outputs)] + ([scratch] if scratch else [])
    with TemporaryFolder("custom") as folder:
        (folder / "kernel.c").write_text(_program(spec, c_name, sizes), encoding="utf-8")
        command = [compiler, "-std=c99", "-O1", "-I", str(_INCLUDE)]
        command += ["-Werror=implicit-function-declaration", str(folder / "kernel.c")]
        done = subprocess.run(
            [*command, "-lm", "-o", str(folder / "kernel")],
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMPILE_TIMEOUT_S,
        )
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if "error" in line]
            said = (lines or ["the compiler does not say why"])[0].rpartition("error: ")[2]
            raise _wrong(spec, f"its C cannot be compiled: {said}")
        size = sum(sizes) + len(sizes) * _EDGE
        given_bytes = b"".join(array.tobytes() for array in given)
        content = _execute(spec, folder / "kernel", given_bytes, size)
    memory = np.frombuffer(content, np.uint8)
    written = []
    for size in sizes:
        written.append(memory[: size + _EDGE])
        memory = memory[size + _EDGE :]
    for number, (array, raw) in enumerate(zip(given, written, strict=False)):
        if raw[: array.nbytes].tobytes() != array.tobytes():
            raise _wrong(spec, f"its kernel writes to its input {number}")
    names = [f"its input {number}" for number in range(len(given))]
    names += [f"its output {number}" for number in range(len(outputs))] + ["its workspace"]
    for number, (name, raw) in enumerate(zip(names, written, strict=False)):
        if (raw[-_EDGE:] != (_RUBBISH + number * _STEP) % 256).any():
            raise _wrong(spec, f"its kernel writes beyond {name}")
    for array, raw in zip(outputs, written[len(given) :], strict=False):
        array[...] = raw[: array.nbytes].view(array.dtype).reshape(array.shape)
    return outputs


def _program(spec: Custom, c_name: str, sizes: Sequence[int]) -> str:
    """A program that reads the inputs, runs the kernel, and writes all memory that it has."""
    kernel = generated_kernel(c_name, c_name, GeneratedKernel(c_name, spec.source, (), ""), ())
    headers = ["tvmgen_integer.h", *spec.source.headers]
    includes = "".join(f'#include "{header}"\n' for header in headers)
    inputs = len(spec.source.input_dtypes)
    reads = "".join(
        f"  if (fread(memory[{number}], 1, {size}, stdin) != {size}) return 1;\n"
        for number, size in enumerate(sizes[:inputs])
    )
    pointers = [parameter for parameter in kernel.parameters if parameter.is_pointer]
    casts = [
        f"({'' if parameter.is_written else 'const '}{C_TYPES[parameter.dtype]} *)memory[{number}]"
        for number, parameter in enumerate(pointers)
    ]
    casts += [f"memory[{len(pointers)}]"] if spec.source.workspace_bytes else []
    return (
        "#include <math.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
        f"{includes}#define TVMGEN_RESTRICT restrict\n{definition(kernel)}"
        "int main(void) {\n"
        f"  static const size_t sizes[] = {{{', '.join(map(str, sizes))}}};\n"
        f"  static unsigned char *memory[{len(sizes)}];\n"
        f"  for (int i = 0; i < {len(sizes)}; ++i) {{\n"
        f"    memory[i] = malloc(sizes[i] + {_EDGE});\n"
        "    if (memory[i] == NULL) return 1;\n"
        f"    memset(memory[i], {_RUBBISH} + i * {_STEP}, sizes[i] + {_EDGE});\n"
        f"  }}\n{reads}"
        f"  {c_name}({', '.join(casts)});\n"
        f"  for (int i = 0; i < {len(sizes)}; ++i) {{\n"
        f"    fwrite(memory[i], 1, sizes[i] + {_EDGE}, stdout);\n"
        "  }\n  return 0;\n}\n"
    )


def _execute(spec: Custom, program: Path, inputs: bytes, size: int) -> bytes:
    try:
        done = subprocess.run(
            [str(program)], input=inputs, capture_output=True, check=False, timeout=_RUN_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise _wrong(spec, f"its kernel did not end within {_RUN_TIMEOUT_S} s") from error
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise _wrong(spec, f"its kernel ended by signal {name}, for random inputs")
    if done.returncode > 0 or len(done.stdout) != size:
        raise _wrong(spec, "its kernel writes to memory that is not its own")
    return done.stdout


def _wrong(spec: Custom, what: str) -> ModelError:
    return ModelError(
        f"the custom operator {spec.operator.name}: {what}",
        cure="correct the operator's registration",
    )
