/* SPDX-License-Identifier: Apache-2.0 */
/* A 32-bit timer of the STM32 families F2 and F4, TIM2 or TIM5 (RM0090, chapter 18): counts up.
 *
 * timer.hz is the rate of its clock, the internal oscillator's of 16 MHz after a reset; the
 * prescaler makes that slow enough to count for two minutes or more. QEMU (7.2) has the timer, at
 * timer.emulator_hz, but no clock control: there nothing says that the oscillator runs.
 */
#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "cpu.h"
#include "microtvm_board.h"

/* Registers, counted from the base. */
enum {
  kControl = 0x00,
  kStatus = 0x10, /* 1: it ran over; cleared by writing 0 */
  kEvent = 0x14,
  kCounter = 0x24,
  kPrescaler = 0x28, /* less one */
  kReload = 0x2c,
};

#define CONTROL_ENABLE 1u
#define EVENT_UPDATE 1u /* starts over with the new prescaler */
#define LONGEST_SECONDS 120u
#define CLOCK_CONTROL 0x40023800u /* RCC_CR */
#define INTERNAL_OSCILLATOR_READY (1u << 1)

static uint32_t ticks_per_second; /* before the prescaler */
static uint32_t divisor;
static uint32_t start;

static uint32_t Read(unsigned reg) { return CpuRead32((uintptr_t)MICROTVM_TIMER_BASE + reg); }

static void Write(unsigned reg, uint32_t value) {
  CpuWrite32((uintptr_t)MICROTVM_TIMER_BASE + reg, value);
}

void TimerInitialize(void) {
  const bool clock_runs = (CpuRead32(CLOCK_CONTROL) & INTERNAL_OSCILLATOR_READY) != 0;

  ticks_per_second = clock_runs ? MICROTVM_TIMER_HZ : MICROTVM_TIMER_EMULATOR_HZ;
  divisor = ticks_per_second / (UINT32_MAX / LONGEST_SECONDS) + 1u;
  Write(kPrescaler, divisor - 1u);
  Write(kReload, UINT32_MAX);
}

void TimerStart(void) {
  Write(kEvent, EVENT_UPDATE);
  Write(kControl, CONTROL_ENABLE);
  Write(kStatus, 0);
  start = Read(kCounter); /* not always 0 in QEMU */
}

bool TimerStop(double *elapsed_seconds) {
  const uint32_t ticks = Read(kCounter) - start;
  *elapsed_seconds = (double)ticks * (double)divisor / (double)ticks_per_second;
  return (Read(kStatus) & 1u) == 0;
}
