/* SPDX-License-Identifier: Apache-2.0 */
/* The timer that measures a model, by one of the clocks that there are. */
#include <microtvm/zephyr/compatible.h>

#include <stdbool.h>

#include <microtvm/cycles.h>
#include <microtvm/platform.h>
#include <microtvm/status.h>

static bool timer_running;

/* Each has ClockStart, and ClockStop, which returns whether the clock did not run over. */
#if defined(CONFIG_ARCH_POSIX)
/* Zephyr's own time stands still while a program of this computer computes. */

#include <native_rtc.h>

static uint64_t start_us;

static void ClockStart(void) { start_us = native_rtc_gettime_us(RTC_CLOCK_PSEUDOHOSTREALTIME); }

static bool ClockStop(double *elapsed_seconds) {
  *elapsed_seconds =
      (double)(native_rtc_gettime_us(RTC_CLOCK_PSEUDOHOSTREALTIME) - start_us) * 1e-6;
  return true;
}

#elif defined(CONFIG_MICROTVM_CYCLE_COUNTER_HZ) && CONFIG_MICROTVM_CYCLE_COUNTER_HZ > 0
/* The performance monitor of Cortex-A and Cortex-R (ARM DDI 0406, C12). */

#define CONTROL_ENABLE (1u << 0)
#define CONTROL_RESET (1u << 2)
#define CONTROL_DIVIDE (1u << 3) /* counts each 64th cycle */
#define CYCLES_PER_COUNT 64.0
#define CYCLE_COUNTER (1u << 31)

static void ClockStart(void) {
  const uint32_t control = CONTROL_ENABLE | CONTROL_RESET | CONTROL_DIVIDE;
  __asm__ volatile("mcr p15, 0, %0, c9, c12, 1" ::"r"(CYCLE_COUNTER));      /* PMCNTENSET */
  __asm__ volatile("mcr p15, 0, %0, c9, c12, 0" ::"r"(control));            /* PMCR */
  __asm__ volatile("mcr p15, 0, %0, c9, c12, 3; isb" ::"r"(CYCLE_COUNTER)); /* PMOVSR */
}

static bool ClockStop(double *elapsed_seconds) {
  uint32_t count;
  uint32_t overflows;
  __asm__ volatile("mrc p15, 0, %0, c9, c13, 0" : "=r"(count));     /* PMCCNTR */
  __asm__ volatile("mrc p15, 0, %0, c9, c12, 3" : "=r"(overflows)); /* PMOVSR */
  *elapsed_seconds = (double)count * CYCLES_PER_COUNT / CONFIG_MICROTVM_CYCLE_COUNTER_HZ;
  return (overflows & CYCLE_COUNTER) == 0;
}

#elif defined(CONFIG_TIMER_HAS_64BIT_CYCLE_COUNTER)

static uint64_t start_cycles;

static void ClockStart(void) { start_cycles = k_cycle_get_64(); }

static bool ClockStop(double *elapsed_seconds) {
  *elapsed_seconds =
      (double)(k_cycle_get_64() - start_cycles) / (double)sys_clock_hw_cycles_per_sec();
  return true;
}

#else

static uint32_t start_cycles;
static int64_t start_ticks;

static void ClockStart(void) {
  start_ticks = k_uptime_ticks();
  start_cycles = k_cycle_get_32();
}

static bool ClockStop(double *elapsed_seconds) {
  const double hz = (double)sys_clock_hw_cycles_per_sec();
  /* The cycles are finer, but their 32 bits run over; ticks, which are interrupts, do not. */
  const uint32_t cycles = k_cycle_get_32() - start_cycles;
  const double ticks_s =
      (double)(k_uptime_ticks() - start_ticks) / (double)CONFIG_SYS_CLOCK_TICKS_PER_SEC;
  *elapsed_seconds = ticks_s * hz < 0x1p31 ? (double)cycles / hz : ticks_s;
  return true;
}

#endif

tvm_crt_error_t TVMPlatformTimerStart(void) {
  if (timer_running) {
    return kTvmErrorPlatformTimerBadState;
  }
  timer_running = true;
  ClockStart();
#if defined(CONFIG_CPU_CORTEX_M)
  MicroTVMCyclesStart();
#endif
  return kTvmErrorNoError;
}

tvm_crt_error_t TVMPlatformTimerStop(double *elapsed_seconds) {
  MicroTVMCyclesStop();
  if (!timer_running) {
    return kTvmErrorPlatformTimerBadState;
  }
  timer_running = false;
  return ClockStop(elapsed_seconds) ? kTvmErrorNoError : kTvmErrorPlatformTimerBadState;
}
