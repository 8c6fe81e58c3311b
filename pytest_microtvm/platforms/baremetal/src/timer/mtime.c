/* SPDX-License-Identifier: Apache-2.0 */
/* RISC-V's machine timer (Privileged Architecture, chapter 3.2.1): 64 bits, which do not run over.
 *
 * timer.base is the address of the register mtime.
 */
#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "cpu.h"
#include "microtvm_board.h"

static uint64_t start;

static uint64_t ReadCounter(void) {
  for (;;) {
    const uint32_t high = CpuRead32((uintptr_t)MICROTVM_TIMER_BASE + 4u);
    const uint32_t low = CpuRead32((uintptr_t)MICROTVM_TIMER_BASE);
    if (CpuRead32((uintptr_t)MICROTVM_TIMER_BASE + 4u) == high) {
      return ((uint64_t)high << 32) | low;
    }
  }
}

void TimerInitialize(void) {}

void TimerStart(void) { start = ReadCounter(); }

bool TimerStop(double *elapsed_seconds) {
  *elapsed_seconds = (double)(ReadCounter() - start) / (double)MICROTVM_TIMER_HZ;
  return true;
}
