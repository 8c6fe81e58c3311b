"""Constants that stay in flash: which pointers of the C are said to point there."""

from __future__ import annotations

import numpy as np

from pytest_microtvm.compiler.emit.flash import FlashUse, refusal_of_large
from pytest_microtvm.compiler.emit.functions import definition
from pytest_microtvm.compiler.program import (
    Kernel,
    KernelCall,
    KernelParameter,
    Program,
    Storage,
    StorageKind,
    TensorType,
)

TYPE = TensorType((4,), "int8")
INPUT, OUTPUT = Storage(StorageKind.INPUT, 0, TYPE), Storage(StorageKind.OUTPUT, 0, TYPE)
CONSTANT = Storage(StorageKind.CONSTANT, 0, TYPE)


def kernel(name: str, body: str, callees: tuple[Kernel, ...] = ()) -> Kernel:
    """A kernel of two tensors."""
    parameters = tuple(
        KernelParameter(each, "int8", is_pointer=True, is_written=each == "output")
        for each in ("input", "weights", "output")
    )
    return Kernel(name, name, parameters, 0, body, frozenset(), is_generated=True, callees=callees)


def text_of(*kernels: Kernel, first: Storage = INPUT, second: Storage = CONSTANT) -> str:
    """The definitions of a program's kernels, of which the last one is called."""
    program = Program([], [], [np.zeros(4, np.int8)], [])
    program.kernels = {each.name: each for each in kernels}
    program.calls = [KernelCall(kernels[-1].name, (first, second, OUTPUT))]
    flash = FlashUse(program)
    return "".join(definition(each, flash) for each in program.functions)


def test_what_is_made_of_a_constant_s_pointer_points_there_too():
    text = text_of(
        kernel(
            "k",
            "  const int8_t *at = weights + 3;\n"
            "  const int8_t *const row = input + weights[2];\n"
            "  const int8_t *next = input;\n"
            "  next = at;\n",
        )
    )
    assert "const int8_t *TVMGEN_RESTRICT input" in text
    assert "const TVMGEN_FLASH int8_t *TVMGEN_RESTRICT weights" in text
    assert "const TVMGEN_FLASH int8_t *at = weights + 3;" in text
    assert "const int8_t *const row = input + weights[2];" in text
    assert "const TVMGEN_FLASH int8_t *next = input;" in text


def test_casts_and_copies_say_it():
    text = text_of(
        kernel(
            "k",
            "  const float *scales = (const float *)(const void *)weights;\n"
            "  memcpy(output, weights, 4);\n"
            "  memcpy(output, input, 4);\n",
        )
    )
    assert "const TVMGEN_FLASH float *scales = (const TVMGEN_FLASH float *)weights;" in text
    assert "TVMGEN_COPY(output, weights, 4);" in text
    assert " memcpy(output, input, 4);" in text


def test_kernels_that_are_called_with_it_take_it():
    callee = kernel("callee", "  output[0] = weights[0];\n")
    caller = kernel(
        "caller", "  callee((const int8_t *)input, (const int8_t *)weights, output);\n", (callee,)
    )
    text = text_of(caller)
    assert text.count("const TVMGEN_FLASH int8_t *TVMGEN_RESTRICT weights") == 2
    assert "callee((const int8_t *)input, (const TVMGEN_FLASH int8_t *)weights, output);" in text


def test_an_array_that_an_avr_cannot_have_is_refused_there():
    assert refusal_of_large([np.zeros(32767, np.int8), np.zeros(8191, np.int32)]) == ""
    text = refusal_of_large([np.zeros(4, np.int8), np.zeros(8192, np.int32)])
    assert text.startswith("#if defined(__AVR__)\n#error ")
    assert "a constant of this model has 32768 bytes; on an AVR it may have 32767" in text


def test_without_constants_nothing_is_said():
    text = text_of(kernel("k", "  const int8_t *at = weights;\n"), second=INPUT)
    assert "TVMGEN_FLASH" not in text
