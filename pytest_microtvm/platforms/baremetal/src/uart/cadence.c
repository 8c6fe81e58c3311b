/* SPDX-License-Identifier: Apache-2.0 */
/* The UART of Xilinx Zynq and ZynqMP, Cadence's, with its FIFOs (UG1085, chapter 21). */
#include "uart.h"

#include "board.h"
#include "cpu.h"
#include "microtvm_board.h"

#ifndef MICROTVM_UART_CLOCK_HZ
#error "the board's definition needs uart.clock_hz"
#endif

/* Registers, counted from the base. */
enum {
  kControl = 0x00,
  kMode = 0x04,
  kInterruptEnable = 0x08,
  kInterruptStatus = 0x14, /* cleared by writing ones */
  kDivisor = 0x18,
  kReceiveTimeout = 0x1c,
  kReceiveTrigger = 0x20,
  kStatus = 0x2c,
  kData = 0x30,
  kSamples = 0x34, /* of a bit, less one */
};

#define CONTROL_RESET 0x03u
#define CONTROL_RECEIVE 0x04u
#define CONTROL_SEND 0x10u
#define MODE_8N1 0x20u
#define INTERRUPT_RECEIVED 0x01u
#define STATUS_RECEIVE_EMPTY 0x002u
#define STATUS_SEND_EMPTY 0x008u
#define STATUS_SEND_FULL 0x010u
#define STATUS_SENDING 0x800u
#define SAMPLES 8u

static uint32_t Read(unsigned reg) { return CpuRead32((uintptr_t)MICROTVM_UART_BASE + reg); }

static void Write(unsigned reg, uint32_t value) {
  CpuWrite32((uintptr_t)MICROTVM_UART_BASE + reg, value);
}

void UartSetUp(void) {
  Write(kControl, CONTROL_RESET);
  Write(kMode, MODE_8N1);
  Write(kDivisor, MICROTVM_UART_CLOCK_HZ / (SAMPLES * MICROTVM_UART_BAUD));
  Write(kSamples, SAMPLES - 1u);
  Write(kReceiveTimeout, 0);
  Write(kReceiveTrigger, 1);
  Write(kControl, CONTROL_RECEIVE | CONTROL_SEND);
  /* QEMU (7.2) looks for bytes that came before only after one is read. */
  (void)Read(kData);
  Write(kInterruptEnable, INTERRUPT_RECEIVED);
}

bool UartReceive(uint8_t *byte) {
  if ((Read(kStatus) & STATUS_RECEIVE_EMPTY) != 0) {
    /* A byte that comes before the interrupt is cleared is not announced again: look once more. */
    Write(kInterruptStatus, INTERRUPT_RECEIVED);
    if ((Read(kStatus) & STATUS_RECEIVE_EMPTY) != 0) {
      return false;
    }
  }
  *byte = (uint8_t)Read(kData);
  return true;
}

size_t UartSend(const uint8_t *data, size_t size_bytes) {
  (void)size_bytes;
  while ((Read(kStatus) & STATUS_SEND_FULL) != 0) {
  }
  Write(kData, data[0]);
  return 1;
}

void UartFlush(void) {
  while ((Read(kStatus) & STATUS_SEND_EMPTY) == 0 || (Read(kStatus) & STATUS_SENDING) != 0) {
  }
}
