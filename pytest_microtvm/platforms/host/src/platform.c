/* SPDX-License-Identifier: Apache-2.0 */
/* The platform functions, by POSIX. */
#define _POSIX_C_SOURCE 200809L

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <microtvm/log.h>
#include <microtvm/platform.h>
#include <microtvm/status.h>

static struct timespec start_time;
static bool running;

tvm_crt_error_t TVMPlatformInitialize(void) { return kTvmErrorNoError; }

void TVMPlatformAbort(tvm_crt_error_t code) {
  TVMLogf("abort: %s (%d)", MicroTVMStatusString(code), (int)code);
  abort();
}

size_t TVMPlatformFormatMessage(char *buffer, size_t size_bytes, const char *format,
                                va_list arguments) {
  const int length = vsnprintf(buffer, size_bytes, format, arguments);
  if (length < 0 || size_bytes == 0) {
    return 0;
  }
  return (size_t)length < size_bytes ? (size_t)length : size_bytes - 1;
}

tvm_crt_error_t TVMPlatformTimerStart(void) {
  if (running || clock_gettime(CLOCK_MONOTONIC, &start_time) != 0) {
    return kTvmErrorPlatformTimerBadState;
  }
  running = true;
  return kTvmErrorNoError;
}

tvm_crt_error_t TVMPlatformTimerStop(double *elapsed_seconds) {
  struct timespec now;
  if (!running || clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
    return kTvmErrorPlatformTimerBadState;
  }
  running = false;
  *elapsed_seconds =
      (double)(now.tv_sec - start_time.tv_sec) + 1e-9 * (double)(now.tv_nsec - start_time.tv_nsec);
  return kTvmErrorNoError;
}
