/* SPDX-License-Identifier: Apache-2.0 */
/* The USART of the STM32 families F1, F2 and F4 (RM0090, chapter 30).
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
  kStatus = 0x00,
  kData = 0x04,
  kBaudRate = 0x08,
  kControl1 = 0x0c,
};

#define STATUS_RECEIVED (1u << 5)
#define STATUS_ALL_SENT (1u << 6)
#define STATUS_SEND_EMPTY (1u << 7)
#define CONTROL_RECEIVE (1u << 2)
#define CONTROL_SEND (1u << 3)
#define CONTROL_RECEIVE_INTERRUPT (1u << 5)
#define CONTROL_ENABLE (1u << 13)

static uint32_t Read(unsigned reg) { return CpuRead32((uintptr_t)MICROTVM_UART_BASE + reg); }

static void Write(unsigned reg, uint32_t value) {
  CpuWrite32((uintptr_t)MICROTVM_UART_BASE + reg, value);
}

void UartSetUp(void) {
  Write(kBaudRate, MICROTVM_UART_CLOCK_HZ / MICROTVM_UART_BAUD);
  Write(kControl1, CONTROL_ENABLE | CONTROL_SEND | CONTROL_RECEIVE | CONTROL_RECEIVE_INTERRUPT);
}

bool UartReceive(uint8_t *byte) {
  if ((Read(kStatus) & STATUS_RECEIVED) == 0) {
    return false;
  }
  *byte = (uint8_t)Read(kData);
  return true;
}

size_t UartSend(const uint8_t *data, size_t size_bytes) {
  (void)size_bytes;
  while ((Read(kStatus) & STATUS_SEND_EMPTY) == 0) {
  }
  Write(kData, data[0]);
  return 1;
}

void UartFlush(void) {
  while ((Read(kStatus) & STATUS_ALL_SENT) == 0) {
  }
}
