/* SPDX-License-Identifier: Apache-2.0 */
/* SiFive's UART, with its FIFOs of eight bytes (SiFive FE310-G000 Manual, chapter 18). */
#include "uart.h"

#include "board.h"
#include "cpu.h"
#include "microtvm_board.h"

#ifndef MICROTVM_UART_CLOCK_HZ
#error "the board's definition needs uart.clock_hz"
#endif

/* Registers, counted from the base. */
enum {
  kSend = 0x00,
  kReceive = 0x04,
  kSendControl = 0x08,
  kReceiveControl = 0x0c,
  kInterruptEnable = 0x10,
  kInterruptPending = 0x14,
  kDivisor = 0x18,
};

#define SEND_FULL (1u << 31)
#define RECEIVE_EMPTY (1u << 31)
#define ENABLE 1u
#define SEND_BELOW_ONE (1u << 16) /* the level at which INTERRUPT_SENT is pending */
#define INTERRUPT_SENT 1u
#define INTERRUPT_RECEIVED 2u

static uint32_t Read(unsigned reg) { return CpuRead32((uintptr_t)MICROTVM_UART_BASE + reg); }

static void Write(unsigned reg, uint32_t value) {
  CpuWrite32((uintptr_t)MICROTVM_UART_BASE + reg, value);
}

void UartSetUp(void) {
  Write(kDivisor, MICROTVM_UART_CLOCK_HZ / MICROTVM_UART_BAUD - 1u);
  Write(kSendControl, ENABLE | SEND_BELOW_ONE);
  Write(kReceiveControl, ENABLE);
  Write(kInterruptEnable, INTERRUPT_RECEIVED);
}

bool UartReceive(uint8_t *byte) {
  const uint32_t received = Read(kReceive);
  *byte = (uint8_t)received;
  return (received & RECEIVE_EMPTY) == 0;
}

size_t UartSend(const uint8_t *data, size_t size_bytes) {
  (void)size_bytes;
  while ((Read(kSend) & SEND_FULL) != 0) {
  }
  Write(kSend, data[0]);
  return 1;
}

void UartFlush(void) {
  while ((Read(kInterruptPending) & INTERRUPT_SENT) == 0) {
  }
}
