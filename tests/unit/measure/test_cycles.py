"""What instructions take on a core: which class they are of, and the tables of the cores."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from pytest_microtvm.boards import load_boards
from pytest_microtvm.measure.cycles import CORES, OTHER, UNITS, core_model

CORE_NAMES = sorted(
    path.stem for path in CORES.glob("*.toml") if path.stem not in ("thumb", "riscv")
)
ARM = ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")
HELIUM = ("arm-none-eabi-gcc", "-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard")
RISCV = ("riscv64-unknown-elf-gcc", "-march=rv32imac", "-mabi=ilp32")

THUMB = {
    "adds r0, r1, r2": OTHER,
    "add.w r0, r1, r2, lsl #3": OTHER,
    "movw r8, #1234": OTHER,
    "ssat r0, #8, r1": OTHER,
    "bx lr": OTHER,
    "sxtb16 r0, r1, ror #8": OTHER,
    "pkhbt r0, r1, r2, lsl #16": OTHER,
    "muls r0, r1": "multiply",
    "mul r8, r9, r10": "multiply",
    "mla r0, r1, r2, r3": "multiply_add",
    "mls r0, r1, r2, r3": "multiply_add",
    "smlad r0, r1, r2, r3": "multiply_halves",
    "smlabb r0, r1, r2, r3": "multiply_halves",
    "smmul r0, r1, r2": "multiply_halves",
    "smull r0, r1, r2, r3": "multiply_long",
    "umull r0, r1, r2, r3": "multiply_long",
    "smlal r0, r1, r2, r3": "multiply_long_add",
    "sdiv r0, r1, r2": "divide",
    "udiv r8, r9, r10": "divide",
    "ldr r0, [r1, #4]": "load",
    "ldrb r0, [r1, r2]": "load",
    "ldrsb r0, [r1, r2]": "load",
    "ldrh r0, [r1, #2]": "load",
    "ldr r0, [sp, #8]": "load",
    "ldrsb.w r0, [r1, #1]": "load",
    "ldrsh.w r8, [r9], #2": "load",
    "ldr.w r8, [r9, #1000]": "load",
    "str r0, [r1, #4]": "store",
    "strb r0, [r1, r2]": "store",
    "strh r0, [r1, #2]": "store",
    "str r0, [sp, #8]": "store",
    "strb.w r8, [r9], #1": "store",
    "ldrd r0, r1, [r2], #8": "load_two",
    "strd r0, r1, [r2, #8]": "store_two",
    "push {r4, r5, lr}": "store_several",
    "pop {r4, r5, pc}": "load_several",
    "ldmia r0!, {r1, r2, r3}": "load_several",
    "stmia r0!, {r1, r2, r3}": "store_several",
    "push {r4, r8, lr}": "store_several",
    "ldmia.w r8, {r0, r1, r9}": "load_several",
    "tbb [pc, r0]": "table_branch",
    "vldr s0, [r0, #4]": "float_load",
    "vstr s0, [r0, #4]": "float_store",
    "vldmia r0!, {s0-s3}": "float_load_several",
    "vpop {s16-s17}": "float_load_several",
    "vpush {s16-s17}": "float_store_several",
    "vstmia r0!, {s0-s3}": "float_store_several",
    "vadd.f32 s0, s1, s2": "float",
    "vmul.f32 s0, s1, s2": "float",
    "vcvt.s32.f32 s0, s1": "float",
    "vmov r0, s0": "float",
    "vmla.f32 s0, s1, s2": "float_multiply_add",
    "vfma.f32 s0, s1, s2": "float_multiply_add",
    "vdiv.f32 s0, s1, s2": "float_divide",
    "vsqrt.f32 s0, s1": "float_divide",
}
VECTORS = {
    "vldrb.u8 q0, [r0], #16": "vector_load",
    "vldrb.s16 q0, [r0, #8]": "vector_load",
    "vldrw.u32 q0, [r0, q1, uxtw #2]": "vector_load",
    "vstrb.8 q0, [r0], #16": "vector_store",
    "vstrb.32 q0, [r0, q1]": "vector_store",
    "vmladav.s8 r0, q0, q1": "vector_multiply",
    "vmladava.s8 r0, q0, q1": "vector_multiply",
    "vmul.i32 q0, q1, q2": "vector_multiply",
    "vqrdmulh.s32 q0, q1, q2": "vector_multiply",
    "vmul.i32 q0, q1, r0": "vector_multiply",
    "vmulh.s32 q0, q1, q2": "vector_multiply",
    "vmullb.s16 q0, q1, q2": "vector_multiply",
    "vcmp.i32 eq, q0, q1": "vector_multiply",
    "vadd.f32 q0, q1, q2": "vector_multiply",
    "vfma.f32 q0, q1, q2": "vector_multiply",
    "vmul.f32 q0, q1, q2": "vector_multiply",
    "vmov q0[2], q0[0], r1, r2": "vector_move",
    "vadd.i32 q0, q1, q2": "vector",
    "vqrshrnb.s32 q0, q1, #3": "vector",
    "vmax.s8 q0, q1, q2": "vector",
    "vdup.32 q0, r0": "vector",
    "vpst\n vldrbt.u8 q0, [r0]": "vector",
    "vldr s0, [r0, #4]": "float_load",
    "le lr, .-4": "loop_end",
    "dls lr, r0": OTHER,
}
RISCV_INSTRUCTIONS = {
    "add a0, a1, a2": OTHER,
    "mul a0, a1, a2": "multiply",
    "mulh a0, a1, a2": "multiply",
    "div a0, a1, a2": "divide",
    "remu a0, a1, a2": "divide",
    "lb a0, 1(a1)": "load",
    "lw a0, 4(a1)": "load",
    "lw t5, 100(t6)": "load",
    "lw a0, 8(sp)": "load",
    "sb a0, 1(a1)": "store",
    "sw a0, 4(a1)": "store",
    "sw a0, 8(sp)": "store",
    "ret": OTHER,
}


def assembled(compiler: Sequence[str], lines: Sequence[str], folder: Path) -> tuple[bytes, int]:
    """The code of some instructions, and how many half words each of them may have at most."""
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"{compiler[0]} is missing")
    source, program = folder / "code.s", folder / "code.o"
    syntax = ".syntax unified\n" if compiler[0].startswith("arm") else ""
    source.write_text(syntax + ".text\n" + "".join(f".balign 8, 0xff\n {line}\n" for line in lines))
    subprocess.run([*compiler, "-c", str(source), "-o", str(program)], check=True, timeout=60)
    with program.open("rb") as file:
        return ELFFile(file).get_section_by_name(".text").data(), 4


@pytest.mark.parametrize(
    ("core", "compiler", "classes"),
    [
        ("cortex-m4", ARM, THUMB),
        ("cortex-m55", HELIUM, VECTORS),
        ("rv32imac", RISCV, RISCV_INSTRUCTIONS),
    ],
    ids=["thumb", "helium", "riscv"],
)
def test_the_class_of_an_instruction(
    core: str, compiler: Sequence[str], classes: dict[str, str], tmp_path: Path
):
    model = core_model(core)
    assert model is not None
    code, step = assembled(compiler, list(classes), tmp_path)
    kinds, _ = model.classify(code)
    found = {line: model.names[kinds[step * n]] for n, line in enumerate(classes)}
    assert found == classes


def test_registers_of_a_list_are_counted(tmp_path: Path):
    model = core_model("cortex-m4")
    assert model is not None
    lines = ["push {r4, r5, lr}", "ldmia.w r8, {r0, r1, r9}", "vldmia r0!, {s0-s3}", "ldr r0, [r1]"]
    code, step = assembled(ARM, lines, tmp_path)
    _, units = model.classify(code)
    assert [units[step * n] / UNITS for n in range(len(lines))] == [4, 4, 5, 2]


def test_a_load_behind_a_load_takes_less():
    model = core_model("cortex-m4")
    assert model is not None
    load, store = model.names.index("load"), model.names.index("store")
    assert model.saved()[load, load] == UNITS
    assert model.saved()[store, load] == 0


@pytest.mark.parametrize("core", CORE_NAMES)
def test_the_table_of_a_core_names_classes_that_there_are(core: str):
    model = core_model(core)
    assert model is not None
    named = {
        *model.costs,
        *model.after,
        *(name for costs in model.after.values() for name in costs),
    }
    assert named <= set(model.names)
    assert not model.free_branch or model.free_branch in model.names
    assert model.source
    assert model.error
    least = min(model.cost(name).base * UNITS for name in model.names)
    assert least >= 0
    assert all(
        model.saved()[:, number].max() <= model.cost(name).base * UNITS
        for number, name in enumerate(model.names)
    )


def test_every_core_of_a_cortex_m_board_is_known():
    cores = {board.cpu.core for board in load_boards().values() if board.emulator is not None}
    assert {core for core in cores if core.startswith("cortex-m")} <= set(CORE_NAMES)


def test_other_cores_are_not_known():
    assert core_model("cortex-r5") is None
    assert core_model("") is None
    assert core_model("thumb") is None
    assert core_model("../cores/cortex-m4") is None
