/* SPDX-License-Identifier: Apache-2.0 */
/* What the model's firmware has of Arduino: the serial port and the clock. The program is main.c. */
#include "microtvm_model.h" /* by which Arduino finds the library */

#include <stdarg.h>
#include <stdio.h>

#include <microtvm/cycles.h>
#include <microtvm/log.h>
#include <microtvm/platform.h>

#include "microtvm_board.h"
#include "microtvm_sketch.h"

#if defined(__AVR__)
#include <avr/sleep.h>
#endif

#define LONGEST_MICROS_MS 4000000ul /* micros() goes round after 4294967 ms */

static bool timer_running;
static uint32_t start_us;
static uint32_t start_ms;

tvm_crt_error_t TVMPlatformInitialize(void) {
  MICROTVM_SERIAL.begin(MICROTVM_UART_BAUD);
  while (!MICROTVM_SERIAL) { /* a port of USB is there when the host has opened it */
  }
  return kTvmErrorNoError;
}

void TVMPlatformAbort(tvm_crt_error_t code) {
  TVMLogf("abort: %s (%d)", MicroTVMStatusString(code), (int)code);
  MICROTVM_SERIAL.flush();
  noInterrupts();
  for (;;) {
#if defined(__AVR__)
    sleep_enable();
    sleep_cpu();
#endif
  }
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
  if (timer_running) {
    return kTvmErrorPlatformTimerBadState;
  }
  timer_running = true;
  start_ms = (uint32_t)millis();
  start_us = (uint32_t)micros();
#if defined(__arm__)
  MicroTVMCyclesStart();
#endif
  return kTvmErrorNoError;
}

tvm_crt_error_t TVMPlatformTimerStop(double *elapsed_seconds) {
  MicroTVMCyclesStop();
  const uint32_t elapsed_us = (uint32_t)micros() - start_us;
  const uint32_t elapsed_ms = (uint32_t)millis() - start_ms;
  if (!timer_running) {
    return kTvmErrorPlatformTimerBadState;
  }
  timer_running = false;
  *elapsed_seconds = elapsed_ms < LONGEST_MICROS_MS ? (double)elapsed_us * 1e-6
                                                    : (double)elapsed_ms * 1e-3;
  return kTvmErrorNoError;
}

void MicroTVMSend(const uint8_t *data, size_t size_bytes) {
  MICROTVM_SERIAL.write(data, size_bytes);
}

void setup() { MicroTVMBegin(); }

void loop() {
  uint8_t received[64];
  size_t size_bytes = 0;
  while (size_bytes < sizeof(received) && MICROTVM_SERIAL.available() > 0) {
    received[size_bytes++] = (uint8_t)MICROTVM_SERIAL.read();
  }
  if (size_bytes > 0) {
    MicroTVMFeed(received, size_bytes);
  }
}
