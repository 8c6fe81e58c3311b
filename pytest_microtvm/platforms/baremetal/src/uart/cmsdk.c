/* SPDX-License-Identifier: Apache-2.0 */
/* The UART of Arm's Cortex-M System Design Kit (DDI 0479, chapter 4.3).
 * It holds one byte each way. */
#include "uart.h"

#include "board.h"
#include "cpu.h"
#include "microtvm_board.h"

#ifndef MICROTVM_UART_CLOCK_HZ
#error "the board's definition needs uart.clock_hz"
#endif

/* Registers, counted from the base. */
enum {
  kData = 0x00,
  kState = 0x04,
  kControl = 0x08,
  kInterruptClear = 0x0c,
  kDivisor = 0x10,
};

#define STATE_SENDING 0x01u
#define STATE_RECEIVED 0x02u
#define CONTROL_SEND 0x01u
#define CONTROL_RECEIVE 0x02u
#define CONTROL_RECEIVE_INTERRUPT 0x08u
#define INTERRUPT_RECEIVED 0x02u

static uint32_t Read(unsigned reg) { return CpuRead32((uintptr_t)MICROTVM_UART_BASE + reg); }

static void Write(unsigned reg, uint32_t value) {
  CpuWrite32((uintptr_t)MICROTVM_UART_BASE + reg, value);
}

void UartSetUp(void) {
  Write(kDivisor, MICROTVM_UART_CLOCK_HZ / MICROTVM_UART_BAUD);
  Write(kControl, CONTROL_SEND | CONTROL_RECEIVE | CONTROL_RECEIVE_INTERRUPT);
  /* QEMU (7.2) looks for bytes that came before only after one is read. */
  (void)Read(kData);
}

bool UartReceive(uint8_t *byte) {
  if ((Read(kState) & STATE_RECEIVED) == 0) {
    return false;
  }
  Write(kInterruptClear, INTERRUPT_RECEIVED);
  *byte = (uint8_t)Read(kData);
  return true;
}

size_t UartSend(const uint8_t *data, size_t size_bytes) {
  (void)size_bytes;
  while ((Read(kState) & STATE_SENDING) != 0) {
  }
  Write(kData, data[0]);
  return 1;
}

void UartFlush(void) {
  while ((Read(kState) & STATE_SENDING) != 0) {
  }
}
