/* SPDX-License-Identifier: Apache-2.0 */
/* What the runtime asks of a port, by Zephyr. */
#include <microtvm/zephyr/compatible.h>
#include <microtvm/zephyr/link.h>

#include <stdbool.h>

#include <microtvm/log.h>
#include <microtvm/platform.h>
#include <microtvm/status.h>

static bool timer_running;
#if defined(CONFIG_ARCH_POSIX)
#include <native_rtc.h>
/* Zephyr's own time stands still while a program of this computer computes. */
static uint64_t start_us;
#elif defined(CONFIG_TIMER_HAS_64BIT_CYCLE_COUNTER)
static uint64_t start_cycles;
#else
static uint32_t start_cycles;
static int64_t start_ticks;
#endif

tvm_crt_error_t TVMPlatformInitialize(void) {
#if defined(CONFIG_MICROTVM_LINK)
  return MicroTVMLinkInit();
#else
  return kTvmErrorNoError;
#endif
}

void TVMPlatformAbort(tvm_crt_error_t code) {
  TVMLogf("abort: %s (%d)", MicroTVMStatusString(code), (int)code);
  (void)irq_lock();
  k_fatal_halt(K_ERR_KERNEL_PANIC);
}

size_t TVMPlatformFormatMessage(char *buffer, size_t size_bytes, const char *format,
                                va_list arguments) {
  const int length = vsnprintk(buffer, size_bytes, format, arguments);
  if (length < 0 || size_bytes == 0) {
    return 0;
  }
  return (size_t)length < size_bytes ? (size_t)length : size_bytes - 1u;
}

tvm_crt_error_t TVMPlatformTimerStart(void) {
  if (timer_running) {
    return kTvmErrorPlatformTimerBadState;
  }
  timer_running = true;
#if defined(CONFIG_ARCH_POSIX)
  start_us = native_rtc_gettime_us(RTC_CLOCK_PSEUDOHOSTREALTIME);
#elif defined(CONFIG_TIMER_HAS_64BIT_CYCLE_COUNTER)
  start_cycles = k_cycle_get_64();
#else
  start_ticks = k_uptime_ticks();
  start_cycles = k_cycle_get_32();
#endif
  return kTvmErrorNoError;
}

tvm_crt_error_t TVMPlatformTimerStop(double *elapsed_seconds) {
  if (!timer_running) {
    return kTvmErrorPlatformTimerBadState;
  }
  timer_running = false;
#if defined(CONFIG_ARCH_POSIX)
  *elapsed_seconds =
      (double)(native_rtc_gettime_us(RTC_CLOCK_PSEUDOHOSTREALTIME) - start_us) * 1e-6;
#elif defined(CONFIG_TIMER_HAS_64BIT_CYCLE_COUNTER)
  *elapsed_seconds =
      (double)(k_cycle_get_64() - start_cycles) / (double)sys_clock_hw_cycles_per_sec();
#else
  const double hz = (double)sys_clock_hw_cycles_per_sec();
  /* The cycles are finer, but their 32 bits run over; ticks, which are interrupts, do not. */
  const uint32_t cycles = k_cycle_get_32() - start_cycles;
  const double ticks_s =
      (double)(k_uptime_ticks() - start_ticks) / (double)CONFIG_SYS_CLOCK_TICKS_PER_SEC;
  *elapsed_seconds = ticks_s * hz < 0x1p31 ? (double)cycles / hz : ticks_s;
#endif
  return kTvmErrorNoError;
}
