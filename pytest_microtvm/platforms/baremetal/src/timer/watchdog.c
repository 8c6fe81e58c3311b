/* SPDX-License-Identifier: Apache-2.0 */
/* The watchdog of Arm's Cortex-M System Design Kit (DDI 0479, chapter 4.4), also TI's and
 * Luminary's, as a timer: it counts 32 bits down to 0, and is not asked to reset anything. */
#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "cpu.h"
#include "microtvm_board.h"

/* Registers, counted from the base. */
enum {
  kLoad = 0x000, /* writing starts over from there */
  kValue = 0x004,
  kControl = 0x008,
  kInterruptClear = 0x00c,
  kReached0 = 0x010,
  kLock = 0xc00,
};

#define CONTROL_COUNT 1u
#define UNLOCK 0x1acce551u

static uint32_t Read(unsigned reg) { return CpuRead32((uintptr_t)MICROTVM_TIMER_BASE + reg); }

static void Write(unsigned reg, uint32_t value) {
  CpuWrite32((uintptr_t)MICROTVM_TIMER_BASE + reg, value);
}

void TimerInitialize(void) {
  Write(kLock, UNLOCK);
  Write(kLoad, UINT32_MAX);
  Write(kControl, CONTROL_COUNT);
}

void TimerStart(void) {
  Write(kInterruptClear, 1);
  Write(kLoad, UINT32_MAX);
}

bool TimerStop(double *elapsed_seconds) {
  const uint32_t value = Read(kValue);
  *elapsed_seconds = (double)(UINT32_MAX - value) / (double)MICROTVM_TIMER_HZ;
  return (Read(kReached0) & 1u) == 0;
}
