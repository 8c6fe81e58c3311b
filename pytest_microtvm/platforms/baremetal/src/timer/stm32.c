/* A 32-bit timer of the STM32 families F2 and F4, TIM2 or TIM5 (RM0090, chapter 18): counts up.
 *
 * timer.hz is the rate of its clock; the prescaler makes that slow enough to count for two minutes or more.
 */
#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "cpu.h"
#include "microtvm_project.h"

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
#define DIVISOR (MICROTVM_TIMER_HZ / (UINT32_MAX / LONGEST_SECONDS) + 1u)

static uint32_t start;

static uint32_t Read(unsigned reg) { return CpuRead32((uintptr_t)MICROTVM_TIMER_BASE + reg); }

static void Write(unsigned reg, uint32_t value) { CpuWrite32((uintptr_t)MICROTVM_TIMER_BASE + reg, value); }

void TimerInitialize(void) {
  Write(kPrescaler, DIVISOR - 1u);
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
  *elapsed_seconds = (double)ticks * DIVISOR / (double)MICROTVM_TIMER_HZ;
  return (Read(kStatus) & 1u) == 0;
}
