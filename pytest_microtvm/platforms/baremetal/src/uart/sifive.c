/* SiFive's UART, with its FIFOs of eight bytes (SiFive FE310-G000 Manual, chapter 18). */
#include <stddef.h>
#include <stdint.h>

#include "board.h"
#include "cpu.h"
#include "microtvm_project.h"

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

static void Write(unsigned reg, uint32_t value) { CpuWrite32((uintptr_t)MICROTVM_UART_BASE + reg, value); }

void UartInitialize(void) {
  Write(kDivisor, MICROTVM_UART_CLOCK_HZ / MICROTVM_UART_BAUD - 1u);
  Write(kSendControl, ENABLE | SEND_BELOW_ONE);
  Write(kReceiveControl, ENABLE);
#ifdef MICROTVM_UART_INTERRUPT
  Write(kInterruptEnable, INTERRUPT_RECEIVED);
  CpuEnableInterrupt(MICROTVM_UART_INTERRUPT);
#endif
}

size_t UartRead(uint8_t *data, size_t size_bytes) {
  size_t count = 0;
  while (count < size_bytes) {
    const uint32_t received = Read(kReceive);
    if ((received & RECEIVE_EMPTY) == 0) {
      data[count++] = (uint8_t)received;
    } else if (count > 0) {
      break;
    } else {
#ifdef MICROTVM_UART_INTERRUPT
      CpuWaitForInterrupt();
#endif
    }
  }
  return count;
}

void UartWrite(const uint8_t *data, size_t size_bytes) {
  for (size_t i = 0; i < size_bytes; ++i) {
    while ((Read(kSend) & SEND_FULL) != 0) {
    }
    Write(kSend, data[i]);
  }
}

void UartFlush(void) {
  while ((Read(kInterruptPending) & INTERRUPT_SENT) == 0) {
  }
}
