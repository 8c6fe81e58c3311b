/* SPDX-License-Identifier: Apache-2.0 */
/* Arm's PL011 UART, with its FIFOs (DDI 0183, chapter 3). */
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
  kFlags = 0x18,
  kDivisor = 0x24,
  kDivisorFraction = 0x28, /* in 64ths */
  kLineControl = 0x2c,
  kControl = 0x30,
  kInterruptMask = 0x38,
};

#define FLAG_BUSY 0x08u
#define FLAG_RECEIVE_EMPTY 0x10u
#define FLAG_SEND_FULL 0x20u
#define LINE_8N1 0x60u
#define LINE_FIFOS 0x10u
#define CONTROL_ENABLE_SEND_RECEIVE 0x301u
#define INTERRUPT_RECEIVED 0x10u
#define INTERRUPT_NO_MORE_CAME 0x40u

static uint32_t Read(unsigned reg) { return CpuRead32((uintptr_t)MICROTVM_UART_BASE + reg); }

static void Write(unsigned reg, uint32_t value) {
  CpuWrite32((uintptr_t)MICROTVM_UART_BASE + reg, value);
}

void UartSetUp(void) {
  const uint32_t divisor_64ths =
      (MICROTVM_UART_CLOCK_HZ * 4u + MICROTVM_UART_BAUD / 2u) / MICROTVM_UART_BAUD;
  Write(kControl, 0);
  Write(kDivisor, divisor_64ths / 64u);
  Write(kDivisorFraction, divisor_64ths % 64u);
  Write(kLineControl, LINE_8N1 | LINE_FIFOS);
  Write(kInterruptMask, INTERRUPT_RECEIVED | INTERRUPT_NO_MORE_CAME);
  Write(kControl, CONTROL_ENABLE_SEND_RECEIVE);
  /* QEMU (7.2) looks for bytes that came before only after one is read. */
  (void)Read(kData);
}

bool UartReceive(uint8_t *byte) {
  if ((Read(kFlags) & FLAG_RECEIVE_EMPTY) != 0) {
    return false;
  }
  *byte = (uint8_t)Read(kData);
  return true;
}

size_t UartSend(const uint8_t *data, size_t size_bytes) {
  (void)size_bytes;
  while ((Read(kFlags) & FLAG_SEND_FULL) != 0) {
  }
  Write(kData, data[0]);
  return 1;
}

void UartFlush(void) {
  while ((Read(kFlags) & FLAG_BUSY) != 0) {
  }
}
