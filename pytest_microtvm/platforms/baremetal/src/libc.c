/* SPDX-License-Identifier: Apache-2.0 */
/* What the C library's functions expect of an operating system. */
#include <microtvm/log.h>
#include <microtvm/platform.h>

#include "board.h"
#include "cpu.h"

int *__errno_location(void);
MICROTVM_NORETURN void __stack_chk_fail(void);
MICROTVM_NORETURN void __stack_chk_fail_local(void);

/* errno, which a hosted C library keeps per thread. */
int *__errno_location(void) {
  static int error;
  return &error;
}

/* A function of the C library found its stack frame overwritten. */
void __stack_chk_fail(void) {
  TVMLogf("fault: stack overwritten");
  UartFlush();
  CpuHalt();
}

void __stack_chk_fail_local(void) { __stack_chk_fail(); }
