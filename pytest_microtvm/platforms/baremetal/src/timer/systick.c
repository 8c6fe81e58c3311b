/* SPDX-License-Identifier: Apache-2.0 */
/* SysTick, which every Cortex-M of 32 or more interrupts has: counts 24 bits down to 0.
 *
 * That is little: 0.7 s at 24 MHz. It never interrupts the model, so that a longer run is an error;
 * a board with another timer should use that. Where there is a reference clock, it is used (it is
 * mostly slower than the CPU's, whose turn it is otherwise): timer.hz is the rate of that one.
 */
#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "cpu.h"
#include "microtvm_board.h"

/* Registers, counted from the base. */
enum {
  kControl = 0x00,
  kReload = 0x04,
  kValue = 0x08,
  kCalibration = 0x0c,
};

#define CONTROL_ENABLE (1u << 0)
#define CONTROL_CPU_CLOCK (1u << 2)
#define CONTROL_REACHED_0 (1u << 16)
#define CALIBRATION_NO_REFERENCE (1u << 31)
#define LARGEST 0xffffffu

static uint32_t Read(unsigned reg) { return CpuRead32((uintptr_t)MICROTVM_TIMER_BASE + reg); }

static void Write(unsigned reg, uint32_t value) {
  CpuWrite32((uintptr_t)MICROTVM_TIMER_BASE + reg, value);
}

void TimerInitialize(void) { Write(kReload, LARGEST); }

void TimerStart(void) {
  const uint32_t clock =
      (Read(kCalibration) & CALIBRATION_NO_REFERENCE) != 0 ? CONTROL_CPU_CLOCK : 0u;
  Write(kControl, 0);
  Write(kValue, 0); /* any value: starts over, and says that 0 was not reached */
  Write(kControl, CONTROL_ENABLE | clock);
}

bool TimerStop(double *elapsed_seconds) {
  const uint32_t value = Read(kValue);
  const bool ran_over = (Read(kControl) & CONTROL_REACHED_0) != 0;
  *elapsed_seconds = (double)(LARGEST - value) / (double)MICROTVM_TIMER_HZ;
  return !ran_over;
}
