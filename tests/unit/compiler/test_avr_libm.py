"""The functions that the C library of AVRs lacks, compiled for the host."""

from __future__ import annotations

import ctypes
import math
import subprocess

import numpy as np
import pytest

from pytest_microtvm.compiler.emit.avr_libm import missing_functions

EVERYWHERE = np.concatenate([np.linspace(-6, 6, 601), [1e-3, -1e-5, 1e-7]])
FUNCTIONS = {
    "rint": (round, EVERYWHERE),
    "nearbyint": (round, EVERYWHERE),
    "exp2": (math.exp2 if hasattr(math, "exp2") else lambda x: 2.0**x, EVERYWHERE),
    "log2": (math.log2, np.linspace(0.01, 50, 400)),
    "log1p": (math.log1p, np.concatenate([np.linspace(-0.9, 9, 300), [1e-5, 1e-7, -1e-6]])),
    "expm1": (math.expm1, EVERYWHERE),
    "asinh": (math.asinh, EVERYWHERE),
    "acosh": (math.acosh, np.linspace(1.01, 20, 300)),
    "atanh": (math.atanh, np.linspace(-0.95, 0.95, 301)),
    "erf": (math.erf, EVERYWHERE),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("libm")
    text = "#define __AVR__ 1\n#include <math.h>\n"
    for name in FUNCTIONS:
        text += missing_functions([f"y = {name}f(x);"])
        text += f"float call_{name}(float x) {{\n  return {name}f(x);\n}}\n"
    (folder / "libm.c").write_text(text)
    command = ["cc", "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    command += [str(folder / "libm.c"), "-lm", "-o", str(folder / "libm.so")]
    subprocess.run(command, check=True, timeout=60)
    return ctypes.CDLL(str(folder / "libm.so"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_is_right_to_a_few_millionths(library, name):
    reference, points = FUNCTIONS[name]
    function = getattr(library, f"call_{name}")
    function.argtypes, function.restype = [ctypes.c_float], ctypes.c_float
    for point in map(float, points.astype(np.float32)):
        expected = float(reference(point))
        assert abs(function(point) - expected) <= 5e-7 * max(1.0, abs(expected)), point


def test_only_what_is_called_is_defined():
    assert missing_functions(["y = expf(x) + sqrtf(x);", "roundf(x)"]) == ""
    text = missing_functions(["a = rintf(x);"])
    assert "#define rintf kernel_rintf" in text
    assert text.count("#define") == 1
    assert text.startswith("\n#if defined(__AVR__)")
    assert text.endswith("#endif\n")
