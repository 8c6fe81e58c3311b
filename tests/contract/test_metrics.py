"""What is measured on every emulated board: instructions, kernel by kernel, and the stack.

The instructions of the model are known: it calls a loop of two instructions and a return.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.flow.cache import Cache
from pytest_microtvm.flow.measuring import measure
from pytest_microtvm.flow.workshop import Workshop
from pytest_microtvm.measure.cycles import OTHER, UNITS, core_model
from pytest_microtvm.mlf.library import open_library
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.device import Session
from tests.boards import has_tests_of_its_own
from tests.contract.libraries import FloatModel
from tests.contract.running import need_tools

FRAME_BYTES = 1200

# `spin` runs 2 n + 1 instructions: its first one is the head of the loop, and no call. `crossing`
# runs 4, on an i386 one that begins on one page of memory, behind another, and ends on the next.
SOURCE = f"""\
#include <stdint.h>
#include <string.h>

#define KERNEL __attribute__((noipa, noinline))
void kernel(const float *x, float *y);
void outer(const uint32_t *counts);
void deep(void);

#if defined(__i386__)
#define SPIN __attribute__((naked, regparm(1))) KERNEL
#define LOOP "decl %eax\\n jnz 1b\\n ret"
#define CROSS "jmp 2f\\n .p2align 12\\n .skip 4093\\n2: nop\\n movl $1, %eax\\n ret"
#elif defined(__riscv)
#define SPIN __attribute__((naked)) KERNEL
#define LOOP "addi a0, a0, -1\\n bnez a0, 1b\\n ret"
#define CROSS "nop\\n nop\\n nop\\n ret"
#else
#define SPIN __attribute__((naked)) KERNEL
#define LOOP ".syntax unified\\n subs r0, #1\\n bne 1b\\n bx lr"
#define CROSS "nop\\n nop\\n nop\\n bx lr"
#endif
SPIN void spin(uint32_t n);
SPIN void spin(uint32_t n) {{ __asm__("1: " LOOP); }}
__attribute__((naked)) KERNEL void crossing(void);
__attribute__((naked)) KERNEL void crossing(void) {{ __asm__(CROSS); }}

KERNEL void outer(const uint32_t *counts) {{
  spin(counts[1]);
  spin(counts[1]);
}}

KERNEL void deep(void) {{
  volatile uint8_t frame[{FRAME_BYTES}];
  frame[0] = 1;
  (void)frame[0];
}}

void kernel(const float *x, float *y) {{
  uint32_t counts[4];
  memcpy(counts, x, sizeof(counts));
  memcpy(y, x, sizeof(counts));
  spin(counts[0]);
  outer(counts);
  spin(counts[0]);
  crossing();
  if (counts[2] != 0) deep();
}}
"""
MODEL = FloatModel("spinning", SOURCE, count=4, kernels=("spin", "outer", "crossing", "deep"))
EMULATED = {
    name: board
    for name, board in load_boards().items()
    if board.emulator is not None and not has_tests_of_its_own(board)
}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    cache = Cache(tmp_path_factory.mktemp("cache"))
    cache.open()
    return Workshop(cache)


@pytest.fixture(scope="module", params=EMULATED)
def firmware(
    request: pytest.FixtureRequest, workshop: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> Firmware:
    board = EMULATED[request.param]
    need_tools(board)
    archive = MODEL.write(tmp_path_factory.mktemp("model") / "model.tar")
    return workshop.build(open_library(archive), board, "aot")


@pytest.fixture
def session(firmware: Firmware) -> Iterator[Session]:
    with Session(firmware) as opened:
        yield opened


def run(session: Session, *counts: int) -> None:
    x = np.array([*counts, 0, 0, 0, 0][:4], np.uint32).view(np.float32)
    session.run({"x": x})


def test_instructions_are_counted_one_by_one(firmware):
    """A session for each run: `counts` keeps the longest of one."""
    totals = {}
    for n in (1000, 3000):
        with Session(firmware) as session:
            run(session, n, n // 2)
        assert session.counts is not None
        names, (spin, outer, again, crossing) = zip(*session.counts.kernels, strict=True)
        assert names == ("spin", "outer", "spin", "crossing")
        assert spin == again == 2 * n + 1
        assert crossing == 4
        totals[n] = (session.counts.total, outer)
        # What `outer` calls is counted to it, though it is a kernel, too.
        assert 0 < outer - 2 * (n + 1) < 30
        assert 0 < session.counts.total - spin - outer - again < 300
    (total, outer), (more_total, more_outer) = totals[1000], totals[3000]
    assert more_outer - outer == 2 * 2000
    assert more_total - total == 2 * 2000 + 2 * 2 * 2000


def test_every_run_gives_the_same_number(firmware):
    counts = set()
    for _ in range(2):
        with Session(firmware) as session:
            for _ in range(2):
                run(session, 777, 5)
                counts.add(session.counts)
    assert len(counts) == 1


def test_cycles_are_those_of_the_instructions(firmware, session):
    """The loop takes an instruction, a branch, and going on at its head."""
    model = core_model(firmware.board.cpu.core)
    run(session, 1000, 1)
    assert session.counts is not None
    if model is None:
        assert session.counts.cycles is None
        return
    other = model.names.index(OTHER)
    iteration = 2 * UNITS - model.saved()[other, other] + model.taken_branch * UNITS
    assert session.counts.kernel_cycles[0] == (1000 * iteration + UNITS) // UNITS
    assert session.counts.cycles is not None
    assert session.counts.cycles > sum(session.counts.kernel_cycles)
    metrics = measure(firmware, session)
    assert metrics.estimated_cycles.value == session.counts.cycles
    assert not metrics.cycles


def test_the_run_that_took_most_is_kept(session):
    for n in (10, 500, 20):
        run(session, n, 1)
    assert session.counts is not None
    assert session.counts.kernels[0] == ("spin", 1001)


def test_the_stack_is_measured_to_its_highest_mark(session, firmware):
    run(session, 1, 1)
    before = session.stack_bytes
    assert before is not None
    assert before > 200
    run(session, 1, 1, 1)
    deep = session.stack_bytes
    assert deep is not None
    assert FRAME_BYTES - 400 < deep - before < FRAME_BYTES + 100
    run(session, 1, 1)
    assert session.stack_bytes == deep
    assert deep < firmware.board.settings["stack_bytes"]


def test_figures_have_units_and_sources_and_parts_add_up(session, firmware, monkeypatch):
    run(session, 4, 2)
    metrics = measure(firmware, session)
    found = dict(metrics.items())
    assert metrics.absent == {}
    assert metrics.instructions
    assert metrics.instructions.source.startswith("QEMU plugin")
    for kind in ("flash", "ram"):
        parts = [m for name, m in found.items() if name.startswith(f"{kind}_")]
        whole, *parts = parts
        assert sum(part.value for part in parts) == whole.value
        assert all(part.value >= 0 for part in parts)
    assert found["ram_stack_bytes"].value == firmware.board.settings["stack_bytes"]
    assert found["ram_packet_bytes"].value == firmware.board.settings["packet_bytes"]
    assert found["ram_io_bytes"].value == 32
    assert 8_000 < found["flash_runtime_bytes"].value < 25_000
    assert 30 < found["flash_kernels_bytes"].value < 10_000  # a page of it: `crossing`
    # A real board counts its cycles itself. In QEMU a RISC-V does, too; a Cortex-M's counter stands
    # still there.
    monkeypatch.setattr(Session, "is_real", True)
    run(session, 4, 2)
    cycles = measure(firmware, session).cycles
    if firmware.board.cpu.arch.startswith("riscv"):
        assert (cycles.unit, cycles.source) == ("cycles", "mcycle")
        assert cycles > 0
    else:
        assert not cycles
        assert "stands still" in repr(cycles)
    layers = [(layer.kernel, layer.macs, layer.instructions_per_mac) for layer in metrics.layers]
    assert layers[0] == ("spin", 10, 0.9)


def test_the_counts_are_those_of_virtual_time(workshop, tmp_path):
    """With QEMU's -icount an instruction takes a nanosecond by the board's timer, of 25 MHz."""
    board = EMULATED["mps2_an386"]
    need_tools(board)
    assert board.emulator is not None
    arguments = (*board.emulator.arguments, "-icount", "shift=0")
    emulator = dataclasses.replace(board.emulator, arguments=arguments)
    board = dataclasses.replace(board, name="icount", emulator=emulator)
    firmware = workshop.build(open_library(MODEL.write(tmp_path / "model.tar")), board, "aot")
    with Session(firmware) as session:
        run(session, 100_000, 1000)
    assert session.counts is not None
    assert session.latency_s is not None
    # The timer is started before and stopped behind, some instructions away.
    assert -40 <= session.latency_s * 1e9 - session.counts.total < 200
