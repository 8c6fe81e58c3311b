/* The platform functions. */
#include <stdbool.h>

#include <microtvm/platform.h>

#include <microtvm/log.h>
#include <microtvm/status.h>

#include "board.h"
#include "cpu.h"

static bool timer_running;

tvm_crt_error_t TVMPlatformInitialize(void) {
  CpuInitialize();
  UartInitialize();
  TimerInitialize();
  return kTvmErrorNoError;
}

void TVMPlatformAbort(tvm_crt_error_t code) {
  TVMLogf("abort: %s (%d)", MicroTVMStatusString(code), (int)code);
  UartFlush();
  CpuHalt();
}

tvm_crt_error_t TVMPlatformTimerStart(void) {
  if (timer_running) {
    return kTvmErrorPlatformTimerBadState;
  }
  timer_running = true;
  TimerStart();
  return kTvmErrorNoError;
}

tvm_crt_error_t TVMPlatformTimerStop(double *elapsed_seconds) {
  if (!timer_running) {
    return kTvmErrorPlatformTimerBadState;
  }
  timer_running = false;
  return TimerStop(elapsed_seconds) ? kTvmErrorNoError : kTvmErrorPlatformTimerBadState;
}
