/* SPDX-License-Identifier: Apache-2.0 */
/* The counter of cycles of a Cortex-M, on registers that behave as those of its DWT. Prints the
 * line of each check that fails. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* A core with a DWT. */
static struct {
  uint32_t demcr;
  uint32_t control;
  uint32_t count;
  uint32_t step; /* cycles that an access of a register takes */
  bool is_locked;
} core;

static uint32_t ReadRegister(uint32_t address) {
  const bool is_traced = (core.demcr & UINT32_C(1) << 24) != 0;
  if (is_traced && (core.control & 1u) != 0) {
    core.count += core.step;
  }
  switch (address) {
    case 0xE000EDFCu:
      return core.demcr;
    case 0xE0001000u:
      return core.control;
    case 0xE0001004u:
      return core.count;
    default:
      return 0;
  }
}

static void WriteRegister(uint32_t address, uint32_t value) {
  if (address == 0xE000EDFCu) {
    core.demcr = value;
  } else if (address == 0xE0001FB0u) {
    core.is_locked = core.is_locked && value != 0xC5ACCE55u;
  } else if (address == 0xE0001000u && !core.is_locked) {
    core.control = value;
  }
}

#define MICROTVM_HAS_DWT 1
#define MICROTVM_DWT_READ(address) ReadRegister(address)
#define MICROTVM_DWT_WRITE(address, value) WriteRegister((address), (value))
#include "cycles.c"

static int failures;

/* Measures `taken` cycles beside those that the last two accesses take, and compares the text. */
static void Check(int line, uint32_t taken, const char *expected) {
  MicroTVMCyclesStart();
  core.count += taken;
  MicroTVMCyclesStop();
  if (strcmp(MicroTVMCyclesText(), expected) != 0) {
    fprintf(stderr, "%d: \"%s\" is not \"%s\"\n", line, MicroTVMCyclesText(), expected);
    ++failures;
  }
}

int main(void) {
  if (strcmp(MicroTVMCyclesText(), "") != 0) { /* nothing was measured yet */
    fprintf(stderr, "%d\n", __LINE__);
    ++failures;
  }
  core.step = 3;
  Check(__LINE__, 1000, "DWT 1003");
  Check(__LINE__, 0, "DWT 3");
  core.count = UINT32_MAX - 50; /* begins anew in between */
  Check(__LINE__, 4000000000u, "DWT 4000000003");

  core.is_locked = true; /* as a Cortex-M7's after a reset */
  core.demcr = core.control = 0;
  Check(__LINE__, 77, "DWT 80");

  core.control = UINT32_C(1) << 25; /* it has no counter */
  Check(__LINE__, 77, "");

  core.control = 0;
  core.step = 0; /* it stands still, as in an emulator */
  Check(__LINE__, 0, "");
  return failures == 0 ? 0 : 1;
}
