/* SPDX-License-Identifier: Apache-2.0 */
/* The UART of Nordic's nRF51 (nRF51 Series Reference Manual, chapter 29). It holds six received
 * bytes. */
#include "uart.h"

#include "board.h"
#include "cpu.h"
#include "microtvm_board.h"

/* Registers, counted from the base. */
enum {
  kStartReceiver = 0x000,
  kStartSender = 0x008,
  kReceived = 0x108, /* an event, cleared by writing 0 */
  kSent = 0x11c,     /* likewise */
  kInterruptSet = 0x304,
  kEnable = 0x500,
  kReceivedByte = 0x518,
  kByteToSend = 0x51c,
  kBaudRate = 0x524,
};

#define INTERRUPT_RECEIVED (1u << 2)
#define ENABLE 4u
/* In 2^32ths of 16 MHz, of which the lowest 12 bits do not count. */
#define BAUD_RATE ((((uint64_t)MICROTVM_UART_BAUD << 32) / 16000000u + 0x800u) & 0xfffff000u)

static uint32_t Read(unsigned reg) { return CpuRead32((uintptr_t)MICROTVM_UART_BASE + reg); }

static void Write(unsigned reg, uint32_t value) {
  CpuWrite32((uintptr_t)MICROTVM_UART_BASE + reg, value);
}

void UartSetUp(void) {
  Write(kBaudRate, (uint32_t)BAUD_RATE);
  Write(kEnable, ENABLE);
  Write(kInterruptSet, INTERRUPT_RECEIVED);
  Write(kStartSender, 1);
  Write(kStartReceiver, 1);
}

bool UartReceive(uint8_t *byte) {
  if (Read(kReceived) == 0) {
    return false;
  }
  Write(kReceived, 0); /* reading a byte brings the event of the next one */
  *byte = (uint8_t)Read(kReceivedByte);
  return true;
}

size_t UartSend(const uint8_t *data, size_t size_bytes) {
  (void)size_bytes;
  Write(kSent, 0);
  Write(kByteToSend, data[0]);
  while (Read(kSent) == 0) {
  }
  return 1;
}

void UartFlush(void) {} /* UartWrite waits for every byte */
