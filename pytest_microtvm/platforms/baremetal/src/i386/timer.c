/* SPDX-License-Identifier: Apache-2.0 */
/* The timer: the time stamp counter, calibrated against the 8254 interval timer.
 *
 * The counter goes on while the CPU sleeps. Its rate is measured once, at start-up: over some
 * milliseconds of the 8254, whose rate is known. Reading both takes time that varies (in an
 * emulator, the host may even turn to something else in between), so that the quickest of several
 * readings is used at either end.
 */
#include <stdbool.h>
#include <stdint.h>

#include "../board.h"
#include "cpu.h"

#define PIT_CHANNEL_2 0x42u
#define PIT_COMMAND 0x43u
#define PIT_GATE 0x61u /* bit 0 lets channel 2 count, bit 1 connects the loudspeaker */
#define PIT_HZ 1193182.0
#define PIT_CALIBRATION_TICKS 6000u /* 5 ms of the 55 ms that the counter takes to wrap */
#define READINGS 8u

typedef struct {
  uint64_t tsc;
  uint16_t pit; /* counts down */
} Reading;

static double tsc_hz;
static uint64_t start_tsc;

static uint64_t ReadTsc(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return ((uint64_t)high << 32) | low;
}

static uint16_t ReadPit(void) {
  CpuWrite8(PIT_COMMAND, 0x80); /* latch channel 2 */
  const uint8_t low = CpuRead8(PIT_CHANNEL_2);
  return (uint16_t)(low | (CpuRead8(PIT_CHANNEL_2) << 8));
}

static Reading ReadBoth(void) {
  Reading best = {0, 0};
  uint64_t best_span = UINT64_MAX;
  for (uint32_t i = 0; i < READINGS; ++i) {
    const uint64_t before = ReadTsc();
    const uint16_t pit = ReadPit();
    const uint64_t span = ReadTsc() - before;
    if (span < best_span) {
      best_span = span;
      best.tsc = before + span / 2;
      best.pit = pit;
    }
  }
  return best;
}

void TimerInitialize(void) {
  CpuWrite8(PIT_GATE, (uint8_t)((CpuRead8(PIT_GATE) & ~2u) | 1u));
  CpuWrite8(PIT_COMMAND, 0xb0); /* channel 2, low byte then high byte, count down once */
  CpuWrite8(PIT_CHANNEL_2, 0xff);
  CpuWrite8(PIT_CHANNEL_2, 0xff);
  const Reading first = ReadBoth();
  while ((uint16_t)(first.pit - ReadPit()) < PIT_CALIBRATION_TICKS) {
  }
  const Reading last = ReadBoth();
  const uint16_t ticks = (uint16_t)(first.pit - last.pit);
  tsc_hz = (double)(last.tsc - first.tsc) * PIT_HZ / (double)ticks;
}

void TimerStart(void) { start_tsc = ReadTsc(); }

bool TimerStop(double *elapsed_seconds) {
  *elapsed_seconds = (double)(ReadTsc() - start_tsc) / tsc_hz;
  return true; /* 64 bits do not run over */
}
