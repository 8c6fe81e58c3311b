"""Element types: one list for archives, for the compiler and for NumPy."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

import pytest_microtvm
from pytest_microtvm.compiler.program import C_TYPES
from pytest_microtvm.mlf.element_types import ALIGNMENT_BYTES, DTYPE_BYTES

PACKAGE = Path(pytest_microtvm.__file__).parent


def test_sizes_are_those_of_numpy() -> None:
    assert {dtype: np.dtype(dtype).itemsize for dtype in DTYPE_BYTES} == DTYPE_BYTES


def test_the_compiler_has_a_c_type_for_each() -> None:
    assert C_TYPES.keys() == DTYPE_BYTES.keys()


def test_the_runtime_and_servers_align_as_archives_do() -> None:
    places = {
        "runtime/include/microtvm/model.h": r"define MICROTVM_ALIGNMENT_BYTES (\d+)u",
        "project/server/archive.py": r"_TENSOR_ALIGNMENT_BYTES = (\d+)",
    }
    for place, pattern in places.items():
        [number] = re.findall(pattern, (PACKAGE / place).read_text(encoding="utf-8"))
        assert int(number) == ALIGNMENT_BYTES, place
