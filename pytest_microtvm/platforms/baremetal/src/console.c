/* SPDX-License-Identifier: Apache-2.0 */
/* The console is the serial port of board.h. The board's definition may name a pin. */
#include <microtvm/console.h>

#include "board.h"
#include "cpu.h"
#include "microtvm_board.h"

#define PULSE_LOOPS 1000u /* a power monitor samples some hundred thousand times a second */

size_t ConsoleRead(uint8_t *data, size_t size_bytes) { return UartRead(data, size_bytes); }

void ConsoleWrite(const uint8_t *data, size_t size_bytes) { UartWrite(data, size_bytes); }

void ConsoleClose(void) {
  UartFlush();
  for (;;) {
#ifdef MICROTVM_UART_INTERRUPT
    CpuWaitForInterrupt();
#endif
  }
}

void ConsolePulsePin(void) {
#ifdef MICROTVM_PIN_ADDRESS
  const uintptr_t address = MICROTVM_PIN_ADDRESS;
  const uint32_t high = CpuRead32(address) | MICROTVM_PIN_MASK;
  CpuWrite32(address, high & ~MICROTVM_PIN_MASK);
  for (volatile uint32_t i = 0; i < PULSE_LOOPS; ++i) {
  }
  CpuWrite32(address, high);
#endif
}
