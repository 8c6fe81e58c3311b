"""What firmware computes and how it ends, on boards of every platform."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.boards import Board, load_boards
from pytest_microtvm.errors import TargetError
from tests.contract.libraries import FloatModel
from tests.contract.running import need_tools
from tests.contract.sessions import running


@pytest.fixture(params=["host", "qemu_x86"])
def board(request: pytest.FixtureRequest) -> Board:
    board = load_boards()[request.param]
    need_tools(board)
    return board


# One expression in x each, with its value by Python; x is not known to the compiler.
MATH: list[tuple[str, Callable[[float], float]]] = [
    ("expf(x)", math.exp),
    ("logf(x)", math.log),
    ("log2f(x)", math.log2),
    ("powf(x, 2.5f)", lambda x: x**2.5),
    ("sqrtf(x)", math.sqrt),
    ("tanhf(x)", math.tanh),
    ("sinf(x)", math.sin),
    ("cosf(x)", math.cos),
    ("atanf(x)", math.atan),
    ("erff(x)", math.erf),
    ("expm1f(x)", math.expm1),
    ("log1pf(x)", math.log1p),
    ("roundf(x * 2.0f)", lambda x: math.floor(2 * x + 0.5)),
    ("nearbyintf(x * 2.0f)", lambda x: round(2 * x)),
    ("rintf(-x * 2.0f)", lambda x: round(-2 * x)),
    ("floorf(-x)", lambda x: math.floor(-x)),
    ("ceilf(x)", math.ceil),
    ("truncf(-x)", lambda x: math.trunc(-x)),
    ("fmaxf(x, 1.5f)", lambda x: max(x, 1.5)),
    ("fminf(x, 1.5f)", lambda x: min(x, 1.5)),
    ("fabsf(-x)", abs),
    ("fmodf(x, 0.75f)", lambda x: math.fmod(x, 0.75)),
    ("ldexpf(x, 3)", lambda x: x * 8),
    ("(float)exp((double)x)", math.exp),
    ("(float)log((double)x)", math.log),
    ("(float)pow((double)x, 2.5)", lambda x: x**2.5),
    ("(float)tanh((double)x)", math.tanh),
    ("(float)erf((double)x)", math.erf),
    ("(float)sqrt((double)x)", math.sqrt),
    ("(float)round((double)x)", lambda x: math.floor(x + 0.5)),
    ("(float)nearbyint((double)x)", round),
    ("(float)((int64_t)(x * 0x1p40f) / (int64_t)7777777)", lambda x: int(x * 2**40) // 7777777),
    ("(float)((uint64_t)(x * 0x1p40f) % (uint64_t)1000)", lambda x: int(x * 2**40) % 1000),
    ("(float)((int64_t)(-x * 0x1p40f) >> 7)", lambda x: int(-x * 2**40) >> 7),
    (
        "(float)((int64_t)(x * 0x1p28f) * 1518500249 >> 31)",
        lambda x: int(x * 2**28) * 1518500249 >> 31,
    ),
]

MATH_KERNEL = """\
#include <math.h>
#include <stdint.h>
#include <string.h>

void kernel(const float *in, float *y);

void kernel(const float *in, float *y) {{
  float copy[{count}];
  memset(copy, 0, sizeof copy);
  memcpy(copy, in, sizeof copy);
  memmove(copy, copy, sizeof copy);
{lines}
}}
"""


def test_the_math_functions_that_kernels_need(board: Board, tmp_path: Path) -> None:
    count = len(MATH)
    lines = (f"  {{ const float x = copy[{i}]; y[{i}] = {c}; }}" for i, (c, _) in enumerate(MATH))
    kernel = MATH_KERNEL.format(count=count, lines="\n".join(lines))
    model = FloatModel("math", kernel, count)
    rng = np.random.default_rng(1)
    with running(tmp_path, model, board) as session:
        for low, high in ((0.1, 3.0), (3.0, 7.0)):
            x = rng.uniform(low, high, count).astype(np.float32)
            y = session.run({"x": x})["y"]
            expected = [function(float(v)) for (_, function), v in zip(MATH, x, strict=True)]
            for i, (code, _) in enumerate(MATH):
                assert y[i] == pytest.approx(expected[i], rel=2e-6, abs=1e-7), f"{code}, x={x[i]}"


def test_special_values(board: Board, tmp_path: Path) -> None:
    kernel = """\
#include <math.h>
void kernel(const float *x, float *y);
void kernel(const float *x, float *y) {
  y[0] = expf(x[0]);      /* overflow */
  y[1] = logf(x[1]);      /* 0 */
  y[2] = sqrtf(x[2]);     /* negative */
  y[3] = x[3] / 0.5e-38f; /* a denormal stays one */
  y[4] = powf(x[4], x[4]);
  y[5] = x[5] > 0.0f ? 1.0f : 2.0f; /* not a number */
}
"""
    x = np.array([1e3, 0.0, -1.0, 1e-40, -0.5, np.nan], np.float32)
    with running(tmp_path, FloatModel("special", kernel, 6), board) as session:
        y = session.run({"x": x})["y"]
    assert y[0] == math.inf
    assert y[1] == -math.inf
    assert math.isnan(y[2])
    assert y[3] == pytest.approx(np.float32(1e-40) / np.float32(0.5e-38))
    assert math.isnan(y[4])
    assert y[5] == 2.0


def test_the_timer_measures_wall_clock_time(board: Board, tmp_path: Path) -> None:
    kernel = """\
void kernel(const float *x, float *y);
void kernel(const float *x, float *y) {
  float sum = 0.0f;
  for (int i = 0; i < (int)x[0]; ++i) sum = sum * 0.5f + x[1];
  y[0] = sum; y[1] = 0.0f;
}
"""
    with running(tmp_path, FloatModel("busy", kernel, 2), board) as session:
        rounds = 1_000_000.0
        while True:
            start = time.monotonic()
            session.run({"x": np.array([rounds, 1.0], np.float32)})
            elapsed_s = time.monotonic() - start
            if elapsed_s > 0.15:
                break
            rounds *= 2.0
        session.latency_s = math.inf
        start = time.monotonic()
        session.run({"x": np.array([rounds, 1.0], np.float32)})
        elapsed_s = time.monotonic() - start
    assert 0.5 * elapsed_s < session.latency_s < 1.02 * elapsed_s


FAULTS = {
    "null pointer": ("y[0] = *(volatile const float *)(x[0] > 1e9f ? x : 0);", "page fault"),
    "write to a constant": ("*(volatile float *)(unsigned long)&table[1] = x[0];", "page fault"),
    "division by zero": ("y[0] = (float)(100 / (int)x[0]);", "division by zero"),
    "invalid instruction": ('__asm__ volatile("ud2");', "invalid instruction"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_crash_in_a_kernel_is_a_readable_error(tmp_path: Path, fault: str) -> None:
    board = load_boards()["qemu_x86"]
    need_tools(board)
    statement, name = FAULTS[fault]
    kernel = (
        "static const float table[4] = {1, 2, 3, 4};\n"
        "void kernel(const float *x, float *y);\n"
        f"void kernel(const float *x, float *y) {{\n  y[0] = table[(int)x[0]];\n  {statement}\n}}\n"
    )
    with running(tmp_path, FloatModel("faulty", kernel, 1), board) as session:
        start = time.monotonic()
        with pytest.raises(TargetError) as caught:
            session.run({"x": np.zeros(1, np.float32)})
        assert time.monotonic() - start < 2.0
    assert caught.value.message.startswith(f"the device crashed: {name}")
    assert caught.value.message.endswith(" in kernel (codegen/host/src/faulty_lib0.c:5)")
    assert (" at address 0x" in caught.value.message) is (name == "page fault")
    assert "registers: pc 0x" in caught.value.details
    assert "eax 0x" in caught.value.details
