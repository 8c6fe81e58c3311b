/* SPDX-License-Identifier: Apache-2.0 */
/* The triple timer counter of Xilinx Zynq and ZynqMP, Cadence's (UG1085, chapter 14).
 *
 * Its counters have 16 bits on Zynq and in QEMU, and 32 on ZynqMP; 16 are used here. The first
 * counts fast and runs over often; the second counts slowly, and tells how often that was.
 */
#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "cpu.h"
#include "microtvm_board.h"

/* Registers of the first counter, counted from the base; those of the next one follow 4 bytes
 * later. */
enum {
  kClockControl = 0x00,
  kCounterControl = 0x0c,
  kCounter = 0x18,
  kInterrupts = 0x54, /* cleared by reading */
};

#define NEXT 4u
#define CLOCK_PRESCALER(log2) (1u | (((log2) - 1u) << 1))
#define COUNTER_RESET (1u << 4)
#define FAST_LOG2 4u
#define SLOW_LOG2 16u
#define INTERRUPT_RAN_OVER (1u << 4)
#define COUNTS 0x10000u
#define TICKS_PER_SLOW (1u << (SLOW_LOG2 - FAST_LOG2)) /* fast ticks to a slow one */

static uint16_t fast_start;

static uint32_t Read(unsigned reg, unsigned counter) {
  return CpuRead32((uintptr_t)MICROTVM_TIMER_BASE + reg + counter * NEXT);
}

static void Write(unsigned reg, unsigned counter, uint32_t value) {
  CpuWrite32((uintptr_t)MICROTVM_TIMER_BASE + reg + counter * NEXT, value);
}

static uint16_t ReadCounter(unsigned counter) { return (uint16_t)Read(kCounter, counter); }

void TimerInitialize(void) {
  Write(kClockControl, 0, CLOCK_PRESCALER(FAST_LOG2));
  Write(kClockControl, 1, CLOCK_PRESCALER(SLOW_LOG2));
  Write(kCounterControl, 0, COUNTER_RESET);
  Write(kCounterControl, 1, COUNTER_RESET);
}

void TimerStart(void) {
  Write(kCounterControl, 1, COUNTER_RESET); /* anew, so that it starts with a whole tick */
  fast_start = ReadCounter(0);
  (void)Read(kInterrupts, 1);
}

bool TimerStop(double *elapsed_seconds) {
  const uint32_t fast = (uint16_t)(ReadCounter(0) - fast_start);
  const uint32_t slow = ReadCounter(1);
  /* The middle of the slow tick. Of all numbers that the fast counter may mean, it is the one next
   * to that. */
  const uint32_t about = slow * TICKS_PER_SLOW + TICKS_PER_SLOW / 2u;
  const uint32_t rounds = about + COUNTS / 2u > fast ? (about + COUNTS / 2u - fast) / COUNTS : 0u;
  *elapsed_seconds =
      (double)(rounds * COUNTS + fast) * (1u << FAST_LOG2) / (double)MICROTVM_TIMER_HZ;
  return (Read(kInterrupts, 1) & INTERRUPT_RAN_OVER) == 0;
}
