/* SPDX-License-Identifier: Apache-2.0 */
/* The 16550 UART, with its FIFOs. */
#include "uart.h"

#include "board.h"
#include "cpu.h"
#include "microtvm_board.h"

/* Registers, counted from the base. */
enum {
  kData = 0,            /* divisor, low byte, while the latch bit is set */
  kInterruptEnable = 1, /* divisor, high byte, likewise */
  kFifoControl = 2,
  kLineControl = 3,
  kModemControl = 4,
  kLineStatus = 5,
};

#define LINE_8N1 0x03u
#define LINE_DIVISOR_LATCH 0x80u
/* Interrupts from 14 bytes on, or when no more come for a while. */
#define FIFO_ENABLE_AND_CLEAR 0xc7u
#define INTERRUPT_RECEIVED 0x01u
#define MODEM_DTR_RTS_INTERRUPTS 0x0bu
#define STATUS_RECEIVED 0x01u
#define STATUS_FIFO_EMPTY 0x20u
#define STATUS_ALL_SENT 0x40u

#define CLOCK_HZ 1843200u
#define FIFO_BYTES 16u

static uint8_t Read(unsigned reg) { return CpuRead8((uintptr_t)MICROTVM_UART_BASE + reg); }

static void Write(unsigned reg, uint8_t value) {
  CpuWrite8((uintptr_t)MICROTVM_UART_BASE + reg, value);
}

void UartSetUp(void) {
  const uint32_t divisor = CLOCK_HZ / (16u * MICROTVM_UART_BAUD);
  Write(kInterruptEnable, 0);
  Write(kLineControl, LINE_8N1 | LINE_DIVISOR_LATCH);
  Write(kData, (uint8_t)divisor);
  Write(kInterruptEnable, (uint8_t)(divisor >> 8));
  Write(kLineControl, LINE_8N1);
  Write(kFifoControl, FIFO_ENABLE_AND_CLEAR);
  /* The clear drops what came before, but QEMU (7.2) offers no further byte until one is read. */
  (void)Read(kData);
  Write(kModemControl, MODEM_DTR_RTS_INTERRUPTS);
  Write(kInterruptEnable, INTERRUPT_RECEIVED);
}

bool UartReceive(uint8_t *byte) {
  if ((Read(kLineStatus) & STATUS_RECEIVED) == 0) {
    return false;
  }
  *byte = Read(kData);
  return true;
}

size_t UartSend(const uint8_t *data, size_t size_bytes) {
  const size_t count = size_bytes < FIFO_BYTES ? size_bytes : FIFO_BYTES;
  while ((Read(kLineStatus) & STATUS_FIFO_EMPTY) == 0) {
  }
  for (size_t i = 0; i < count; ++i) {
    Write(kData, data[i]);
  }
  return count;
}

void UartFlush(void) {
  while ((Read(kLineStatus) & STATUS_ALL_SENT) == 0) {
  }
}
