"""What the plugin counts where interrupts come in between: driven by a list of executed blocks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_microtvm.measure import counting

SOURCE = Path(counting.__file__).with_suffix(".c")
# A program in QEMU's place: it executes the blocks that its arguments name, START:INSTRUCTIONS;
# an instruction has 4 bytes.
EMULATOR = """\
#include "counting.c"

struct qemu_plugin_insn { uint64_t address; };
struct qemu_plugin_tb { uint64_t start; size_t count; struct qemu_plugin_insn instructions[64]; };

static void (*translate)(qemu_plugin_id_t, struct qemu_plugin_tb *);
static void (*execute)(unsigned int, void *);
static void *block;

void qemu_plugin_register_vcpu_tb_trans_cb(
    qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t, struct qemu_plugin_tb *)) {
  (void)id;
  translate = callback;
}
void qemu_plugin_register_vcpu_tb_exec_cb(
    struct qemu_plugin_tb *translated, void (*callback)(unsigned int, void *),
    enum qemu_plugin_cb_flags flags, void *data) {
  (void)translated, (void)flags;
  execute = callback;
  block = data;
}
void qemu_plugin_register_vcpu_insn_exec_cb(
    struct qemu_plugin_insn *instruction, void (*callback)(unsigned int, void *),
    enum qemu_plugin_cb_flags flags, void *data) {
  (void)instruction, (void)callback, (void)flags, (void)data;
}
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb) { return tb->count; }
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index) {
  struct qemu_plugin_insn *const instruction = &((struct qemu_plugin_tb *)tb)->instructions[index];
  instruction->address = tb->start + 4u * index;
  return instruction;
}
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction) {
  return instruction->address;
}
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *instruction) {
  (void)instruction;
  return 4;
}

int main(int argc, char **argv) {
  if (qemu_plugin_install(0, NULL, 2, argv + 1) != 0) {
    return 1;
  }
  for (int i = 3; i < argc; ++i) {
    struct qemu_plugin_tb tb = {0};
    tb.start = strtoul(argv[i], &argv[i], 16);
    tb.count = strtoul(argv[i] + 1, NULL, 10);
    translate(0, &tb);
    execute(0, block);
  }
  return 0;
}
"""

CALL, BACK, END = "100:4", "110:3", "11c:1"  # calls the function that runs the model; goes on there
RUN, RUN_ON = "200:5", "214:2"  # calls a kernel, which returns there
KERNEL, OTHER = "300:10", "400:6"
TICK = "900:45"
HOST, HOST_ON = "500:2", "508:1"  # calls kernels one by one
A_RUN = [CALL, RUN, KERNEL, RUN_ON, BACK, END]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("emulator")
    (folder / "main.c").write_text(EMULATOR)
    command = ["gcc", "-std=c11", "-DCOUNTING_PLUGIN_VERSION=1", f"-I{SOURCE.parent}"]
    subprocess.run([*command, "-o", "emulator", "main.c"], check=True, cwd=folder, timeout=60)
    (folder / "functions").write_text("kernel 0x300\nkernel 0x400\nrun 0x200\n")
    return folder / "emulator"


def log_of(emulator: Path, blocks: list[str]) -> list[str]:
    log = emulator.with_name("log")
    log.unlink(missing_ok=True)
    options = [f"functions={emulator.with_name('functions')}", f"log={log}"]
    subprocess.run([emulator, *options, *blocks], check=True, timeout=10)
    return log.read_text().splitlines()


def test_each_run_is_a_line(emulator):
    assert log_of(emulator, A_RUN * 2) == ["0:10 17"] * 2


def test_what_comes_in_a_run_is_counted(emulator):
    assert log_of(emulator, [CALL, RUN, KERNEL, TICK, RUN_ON, BACK]) == ["0:55 62"]


@pytest.mark.parametrize("place", [1, 2])
def test_after_an_interrupt_at_a_call_the_next_run_is_counted_again(emulator, place):
    hit = [*A_RUN[:place], TICK, *A_RUN[place:]]
    assert log_of(emulator, [*hit, *A_RUN]) == ["0:10 17"]
    assert log_of(emulator, [*A_RUN, *hit, *hit, *A_RUN]) == ["0:10 17"] * 2


def test_kernels_that_the_host_calls_are_counted_again_after_an_interrupt(emulator):
    calls = [HOST, KERNEL, HOST_ON, HOST, OTHER, HOST_ON]
    hit = [HOST, TICK, KERNEL, HOST_ON]
    assert log_of(emulator, calls) == ["0:10 10", "1:6 6"]
    assert log_of(emulator, [*calls, *hit, *calls]) == ["0:10 10", "1:6 6"] * 2
