"""What firmware computes and how it ends, on every board.

One firmware a board serves all tests: its model does one task or another, as the first input says.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_microtvm.boards import Board, load_boards
from pytest_microtvm.errors import TargetError
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.device import Session
from tests.boards import has_tests_of_its_own
from tests.contract.libraries import FloatModel
from tests.contract.running import need_tools
from tests.contract.sessions import build_firmware
from tests.patience import PATIENCE_S

COUNT = 256
"""Elements of the model's vectors."""


@dataclass(frozen=True)
class Fault:
    """Something a kernel must not do.

    Attributes:
        statement: C code that does it; `x` is all zeros.
        kinds: What the device says, by the CPU's architecture; another does not notice.
        places: Whether it can tell where that was.
    """

    statement: str
    kinds: dict[str, str]
    places: bool = True


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


FAULTS = {
    "null pointer": Fault(
        "y[0] = *(volatile const float *)(x[1] > 1e9f ? x : 0);",
        {"i386": "page fault", "armv7-m": "memory protection", "riscv": "access fault"},
    ),
    "write to a constant": Fault(
        "*(volatile float *)(unsigned long)&table[1] = x[1];",
        {
            "i386": "page fault",
            "armv7-m": "memory protection",
            "armv8-m": "memory protection",
            "armv7-r": "access fault",
            "riscv": "access fault",
        },
    ),
    "division by zero": Fault(
        "y[0] = (float)(100 / (int)x[1]);",
        dict.fromkeys(("i386", "armv7-m", "armv8-m"), "division by zero"),
    ),
    "invalid instruction": Fault(
        "INVALID;",
        {
            "armv6-m": "hard fault",
            **dict.fromkeys(
                ("i386", "armv7-m", "armv8-m", "armv7-r", "riscv"), "invalid instruction"
            ),
        },
    ),
    "stack overflow": Fault(
        "y[0] = deep(x);",
        dict.fromkeys(("armv6-m", "armv7-m", "armv8-m", "armv7-r", "riscv"), "stack overflow"),
        places=False,
    ),
}

TASKS = ["echo", "math", "special", "busy", *FAULTS]

KERNEL = """\
#include <math.h>
#include <stdint.h>
#include <string.h>

#define COUNT %(count)d
#define TASK static __attribute__((noinline)) void

#if defined(__i386__)
#define INVALID __asm__ volatile("ud2")
#elif defined(__arm__)
#define INVALID __asm__ volatile("udf #0")
#elif defined(__riscv)
#define INVALID __asm__ volatile("unimp")
#else
#define INVALID
#endif

static const float table[4] = {1, 2, 3, 4};

static __attribute__((noinline)) float deep(volatile const float *x) {
  volatile float block[16];
  block[0] = x[1];
  return x[1] > 1e9f ? 0.0f : deep(block) + block[0];
}

TASK echo(const float *x, float *y) { memcpy(y, x, COUNT * sizeof(float)); }

TASK math(const float *in, float *y) {
  float copy[%(functions)d];
  memset(copy, 0, sizeof copy);
  memcpy(copy, in + 1, sizeof copy);
  memmove(copy, copy, sizeof copy);
%(math)s
}

TASK special(const float *x, float *y) {
  y[0] = expf(x[1]);      /* overflow */
  y[1] = logf(x[2]);      /* 0 */
  y[2] = sqrtf(x[3]);     /* negative */
  y[3] = x[4] / 0.5e-38f; /* a denormal stays one */
  y[4] = powf(x[5], x[5]);
  y[5] = x[6] > 0.0f ? 1.0f : 2.0f; /* not a number */
}

TASK busy(const float *x, float *y) {
  float sum = 0.0f;
  for (int i = 0; i < (int)x[1]; ++i) sum = sum * 0.5f + x[2];
  y[0] = sum;
}

%(faults)s
void kernel(const float *x, float *y);

void kernel(const float *x, float *y) {
  switch ((int)x[0]) {
%(cases)s
  }
}
"""


def kernel_source() -> str:
    """The C source of the model."""
    math_lines = [
        f"  {{ const float x = copy[{i}]; y[{i}] = {code}; }}" for i, (code, _) in enumerate(MATH)
    ]
    faults = [
        f"TASK fault_{i}(const float *x, float *y) {{ y[0] = table[(int)x[1]]; {f.statement} }}"
        for i, f in enumerate(FAULTS.values())
    ]
    functions = [*TASKS[: -len(FAULTS)], *(f"fault_{i}" for i in range(len(FAULTS)))]
    cases = [f"    case {i}: {name}(x, y); break;" for i, name in enumerate(functions)]
    return KERNEL % {
        "count": COUNT,
        "functions": len(MATH),
        "math": "\n".join(math_lines),
        "faults": "\n".join(faults),
        "cases": "\n".join(cases),
    }


def architecture(board: Board) -> str:
    """What tells how a board's CPU answers to faults."""
    core = board.cpu.core
    if core.startswith("cortex-"):
        versions = {"m0": "6-m", "m3": "7-m", "m4": "7-m", "m7": "7-m", "r5": "7-r"}
        return f"armv{versions.get(core.removeprefix('cortex-'), '8-m')}"
    return "riscv" if board.cpu.arch.startswith("riscv") else board.cpu.arch


HERE = [
    name
    for name, board in load_boards().items()
    if not board.is_only_real and not has_tests_of_its_own(board)
]


@pytest.fixture(scope="module", params=HERE)
def firmware(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    """The model, built for a board."""
    board = load_boards()[request.param]
    need_tools(board)
    directory = tmp_path_factory.mktemp(board.name)
    return build_firmware(directory, FloatModel("probe", kernel_source(), COUNT), board)


@pytest.fixture(scope="module")
def session(firmware: Firmware) -> Iterator[Session]:
    """The model, running on a board."""
    with Session(firmware, timeout_s=20, on_log=print) as session:
        yield session


def run(session: Session, task: str, *values: float) -> NDArray[np.generic]:
    """Have the model do a task with some numbers."""
    x = np.zeros(COUNT, np.float32)
    x[0] = TASKS.index(task)
    x[1 : len(values) + 1] = values
    return session.run({"x": x})["y"]


def test_every_byte_arrives(session: Session) -> None:
    rng = np.random.default_rng(1)
    for i in range(8):
        data = rng.bytes(4 * COUNT - 4) if i > 0 else b"\xff" * (4 * COUNT - 4)
        x = np.frombuffer(bytes(4) + data, np.float32)
        assert session.run({"x": x})["y"].tobytes() == x.tobytes()


def test_the_math_functions_that_kernels_need(session: Session) -> None:
    rng = np.random.default_rng(1)
    for low, high in ((0.1, 3.0), (3.0, 7.0)):
        x = rng.uniform(low, high, len(MATH)).astype(np.float32)
        y = run(session, "math", *x)
        for i, (code, function) in enumerate(MATH):
            expected = function(float(x[i]))
            assert y[i] == pytest.approx(expected, rel=2e-6, abs=1e-7), f"{code}, x={x[i]}"


def test_special_values(session: Session) -> None:
    y = run(session, "special", 1e3, 0.0, -1.0, 1e-40, -0.5, math.nan)
    assert y[0] == math.inf
    assert y[1] == -math.inf
    assert math.isnan(y[2])
    assert y[3] == pytest.approx(np.float32(1e-40) / np.float32(0.5e-38))
    assert math.isnan(y[4])
    assert y[5] == 2.0


def test_the_timer_measures_wall_clock_time(session: Session) -> None:
    rounds = 250_000.0
    elapsed_s = 0.0
    while elapsed_s < PATIENCE_S:
        session.latency_s = math.inf  # else it keeps the fastest run
        start = time.monotonic()
        run(session, "busy", rounds, 1.0)
        elapsed_s = time.monotonic() - start
        latency_s = session.latency_s
        assert latency_s < 1.02 * elapsed_s
        # Before and after the kernel the host may have to wait for a processor, but not every time.
        if latency_s > max(0.3, 0.5 * elapsed_s):
            return
        rounds *= 2.0
    pytest.fail(f"the timer says {latency_s} s of {elapsed_s} s")


def test_crashes_in_a_kernel_are_readable_errors(firmware: Firmware) -> None:
    kinds = {
        name: fault.kinds[architecture(firmware.board)]
        for name, fault in FAULTS.items()
        if architecture(firmware.board) in fault.kinds
    }
    for name, kind in kinds.items():
        with Session(firmware, timeout_s=4 * PATIENCE_S, on_log=print) as session:
            start = time.monotonic()
            with pytest.raises(TargetError) as caught:
                run(session, name)
            assert time.monotonic() - start < PATIENCE_S
        message = caught.value.message
        assert message.startswith(f"the device crashed: {kind}"), name
        assert "registers: pc 0x" in caught.value.details
        if FAULTS[name].places:
            assert (
                f" in fault_{list(FAULTS).index(name)} (codegen/host/src/probe_lib0.c:" in message
            )
            has_address = kind in ("page fault", "memory protection", "access fault")
            assert (" at address 0x" in message) is has_address, name
