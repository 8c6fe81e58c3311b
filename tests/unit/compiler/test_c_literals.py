from __future__ import annotations

import ctypes
import math
import struct
import subprocess

import numpy as np
import pytest

from pytest_microtvm.compiler.emit.literals import (
    array_initializer,
    float_literal,
    integer_literal,
    string_literal,
)
from pytest_microtvm.compiler.program import C_TYPES
from tests.unit.compiler.native import C99, CXX11

_RANDOM = np.random.default_rng(3)


def _special(dtype: str) -> list[float]:
    limits = np.finfo(dtype)
    return [
        0.0,
        -0.0,
        1 / 3,
        float(limits.max),
        float(limits.min),
        float(limits.tiny),
        float(limits.smallest_subnormal),
        math.inf,
        -math.inf,
    ]


ARRAYS = {
    "float32": np.concatenate(
        [
            _RANDOM.integers(0, 0x7F800000, 5000, np.uint32).view(np.float32),
            np.array(_special("float32"), np.float32),
        ]
    ),
    "float64": np.concatenate(
        [
            _RANDOM.integers(0, 0x7FF0000000000000, 5000, np.uint64).view(np.float64),
            np.array(_special("float64")),
        ]
    ),
    "bool": np.array([True, False, True]),
    **{
        dtype: np.array([np.iinfo(dtype).min, 0, 1, np.iinfo(dtype).max], dtype)
        for dtype in C_TYPES
        if "int" in dtype
    },
}


@pytest.fixture(scope="module", params=[C99, CXX11], ids=["C99", "C++11"])
def arrays_in_c(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> ctypes.CDLL:
    """All of ARRAYS, compiled."""
    directory = tmp_path_factory.mktemp("literals")
    definitions = [
        f"{C_TYPES[dtype]} array_{dtype}[] = {{{array_initializer(array)}}};"
        for dtype, array in ARRAYS.items()
    ]
    source, library = directory / "arrays.c", directory / "arrays.so"
    source.write_text(
        "#include <math.h>\n#include <stdint.h>\n"
        '#ifdef __cplusplus\nextern "C" {\n#endif\n'
        + "\n".join(definitions)
        + "\n#ifdef __cplusplus\n}\n#endif\n"
    )
    command = [*request.param, "-fPIC", "-shared", str(source), "-o", str(library)]
    subprocess.run(command, check=True, timeout=60)
    return ctypes.CDLL(str(library))


@pytest.mark.parametrize("dtype", ARRAYS)
def test_a_c_compiler_reads_every_number_back_bit_for_bit(arrays_in_c: ctypes.CDLL, dtype: str):
    array = ARRAYS[dtype]
    data = (ctypes.c_uint8 * array.nbytes).in_dll(arrays_in_c, f"array_{dtype}")
    assert bytes(data) == array.tobytes()


def test_floats_are_rounded_to_their_type_before_they_are_printed():
    text = float_literal(0.1, "float32")
    assert text.endswith("f")
    assert struct.pack("f", float(text[:-1])) == struct.pack("f", 0.1)


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (math.inf, "float32", "INFINITY"),
        (-math.inf, "float32", "(-INFINITY)"),
        (math.nan, "float32", "NAN"),
        (math.inf, "float64", "(double)INFINITY"),
    ],
)
def test_what_is_no_number_is_a_macro(value: float, dtype: str, text: str):
    assert float_literal(value, dtype) == text


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (-(2**31), "int32", "INT32_MIN"),
        (-5, "int32", "(-5)"),
        (2**40, "int64", "INT64_C(1099511627776)"),
        (2**31, "uint32", "2147483648u"),
    ],
)
def test_integers_are_constants_of_a_wide_enough_type(value: int, dtype: str, text: str):
    assert integer_literal(value, dtype) == text


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ('a"b\\', '"a\\042b\\134"'),
        ("??/", '"\\077\\077/"'),
        ("ü1", '"\\303\\2741"'),
        ("\n", '"\\012"'),
    ],
)
def test_strings_are_plain_ascii_without_trigraphs(text: str, literal: str):
    assert string_literal(text) == literal
