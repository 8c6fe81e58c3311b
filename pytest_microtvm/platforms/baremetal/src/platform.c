/* The platform functions that do not depend on the CPU; its folder has the timer. */
#include <microtvm/platform.h>

#include <microtvm/log.h>
#include <microtvm/status.h>

#include "board.h"
#include "cpu.h"

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
