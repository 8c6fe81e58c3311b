/* SPDX-License-Identifier: Apache-2.0 */
/* The timer of Arm's Cortex-M System Design Kit (DDI 0479, chapter 4.1): a down-counter of 32
 * bits. */
#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "cpu.h"
#include "microtvm_board.h"

/* Registers, counted from the base. */
enum {
  kControl = 0x00,
  kValue = 0x04,
  kReload = 0x08,
  kInterrupt = 0x0c, /* 1: it reached 0; writing 1 clears that */
};

#define CONTROL_ENABLE 0x01u
#define CONTROL_INTERRUPT 0x08u /* else the register above says nothing */

static uint32_t Read(unsigned reg) { return CpuRead32((uintptr_t)MICROTVM_TIMER_BASE + reg); }

static void Write(unsigned reg, uint32_t value) {
  CpuWrite32((uintptr_t)MICROTVM_TIMER_BASE + reg, value);
}

void TimerInitialize(void) { Write(kReload, UINT32_MAX); }

void TimerStart(void) {
  Write(kControl, 0);
  Write(kInterrupt, 1);
  Write(kValue, UINT32_MAX);
  Write(kControl, CONTROL_ENABLE | CONTROL_INTERRUPT);
}

bool TimerStop(double *elapsed_seconds) {
  const uint32_t value = Read(kValue);
  *elapsed_seconds = (double)(UINT32_MAX - value) / (double)MICROTVM_TIMER_HZ;
  return Read(kInterrupt) == 0;
}
