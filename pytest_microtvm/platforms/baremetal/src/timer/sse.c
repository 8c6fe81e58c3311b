/* SPDX-License-Identifier: Apache-2.0 */
/* The system counter of Arm's SSE-300 subsystem (101773, chapter 4): 64 bits, which do not run
 * over.
 *
 * timer.base is its control frame, which switches it on.
 */
#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "cpu.h"
#include "microtvm_board.h"

/* Registers, counted from the base. */
enum {
  kControl = 0x00,
  kValueLow = 0x08,
  kValueHigh = 0x0c,
};

#define CONTROL_ENABLE 1u

static uint64_t start;

static uint32_t Read(unsigned reg) { return CpuRead32((uintptr_t)MICROTVM_TIMER_BASE + reg); }

static uint64_t ReadCounter(void) {
  for (;;) {
    const uint32_t high = Read(kValueHigh);
    const uint32_t low = Read(kValueLow);
    if (Read(kValueHigh) == high) {
      return ((uint64_t)high << 32) | low;
    }
  }
}

void TimerInitialize(void) {
  CpuWrite32((uintptr_t)MICROTVM_TIMER_BASE + kControl, CONTROL_ENABLE);
}

void TimerStart(void) { start = ReadCounter(); }

bool TimerStop(double *elapsed_seconds) {
  *elapsed_seconds = (double)(ReadCounter() - start) / (double)MICROTVM_TIMER_HZ;
  return true;
}
