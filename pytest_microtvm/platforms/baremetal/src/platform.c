/* SPDX-License-Identifier: Apache-2.0 */
/* The platform functions. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <microtvm/cycles.h>
#include <microtvm/platform.h>

#include <microtvm/log.h>
#include <microtvm/status.h>

#include "board.h"
#include "cpu.h"
#include "microtvm_board.h"

static bool timer_running;

#ifdef MICROTVM_SETUP
/* What the chip needs around its devices. */
static void SetUpRegisters(void) {
  static const struct {
    uint32_t address;
    uint32_t clear;
    uint32_t set;
  } registers[] = {MICROTVM_SETUP};

  for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); ++i) {
    const uint32_t value = CpuRead32(registers[i].address);
    CpuWrite32(registers[i].address, (value & ~registers[i].clear) | registers[i].set);
  }
}
#endif

tvm_crt_error_t TVMPlatformInitialize(void) {
  CpuInitialize();
#ifdef MICROTVM_SETUP
  SetUpRegisters();
#endif
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
  MicroTVMCyclesStart();
  return kTvmErrorNoError;
}

tvm_crt_error_t TVMPlatformTimerStop(double *elapsed_seconds) {
  MicroTVMCyclesStop();
  if (!timer_running) {
    return kTvmErrorPlatformTimerBadState;
  }
  timer_running = false;
  return TimerStop(elapsed_seconds) ? kTvmErrorNoError : kTvmErrorPlatformTimerBadState;
}
