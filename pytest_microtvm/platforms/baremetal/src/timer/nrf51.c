/* SPDX-License-Identifier: Apache-2.0 */
/* A timer of Nordic's nRF51 (nRF51 Series Reference Manual, chapter 18): TIMER0, the one of 32
 * bits. */
#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "cpu.h"
#include "microtvm_board.h"

/* Registers, counted from the base. */
enum {
  kStart = 0x000,
  kClear = 0x00c,
  kCapture0 = 0x040,  /* writing 1 copies the counter to kValue0 */
  kCompared1 = 0x144, /* an event, cleared by writing 0: the counter was equal to kValue1 */
  kBitMode = 0x508,
  kPrescaler = 0x510, /* log2 */
  kValue0 = 0x540,
  kValue1 = 0x544,
};

#define CLOCK_HZ 16000000u
#define BITS_32 3u

_Static_assert(MICROTVM_TIMER_HZ == CLOCK_HZ, "the timer runs at the full rate of its clock");

static uint32_t Read(unsigned reg) { return CpuRead32((uintptr_t)MICROTVM_TIMER_BASE + reg); }

static void Write(unsigned reg, uint32_t value) {
  CpuWrite32((uintptr_t)MICROTVM_TIMER_BASE + reg, value);
}

void TimerInitialize(void) {
  Write(kBitMode, BITS_32);
  Write(kPrescaler, 0);
  Write(kValue1, UINT32_MAX);
  Write(kStart, 1);
}

void TimerStart(void) {
  Write(kClear, 1);
  Write(kCompared1, 0);
}

bool TimerStop(double *elapsed_seconds) {
  Write(kCapture0, 1);
  *elapsed_seconds = (double)Read(kValue0) / (double)MICROTVM_TIMER_HZ;
  return Read(kCompared1) == 0;
}
