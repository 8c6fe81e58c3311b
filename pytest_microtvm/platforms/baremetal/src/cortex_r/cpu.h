/* SPDX-License-Identifier: Apache-2.0 */
/* A Cortex-R as the rest of the firmware sees it. Registers of devices are in memory.
 *
 * No interrupt controller is known: drivers have to poll.
 */
#ifndef MICROTVM_CPU_H_
#define MICROTVM_CPU_H_

#include <stdint.h>

#include "microtvm_board.h"

#ifdef MICROTVM_UART_INTERRUPT
#error "cortex_r has no interrupts: leave uart.interrupt out of the board's definition"
#endif

/* Reads and writes a device's register. */
static inline uint32_t CpuRead32(uintptr_t address) { return *(volatile uint32_t *)address; }

static inline void CpuWrite32(uintptr_t address, uint32_t value) {
  *(volatile uint32_t *)address = value;
}

static inline uint8_t CpuRead8(uintptr_t address) { return *(volatile uint8_t *)address; }

static inline void CpuWrite8(uintptr_t address, uint8_t value) {
  *(volatile uint8_t *)address = value;
}

/* Memory is protected from now on. */
void CpuInitialize(void);

/* Stops for good. An emulator ends, and its exit status tells that something went wrong. */
__attribute__((noreturn)) void CpuHalt(void);

#endif /* MICROTVM_CPU_H_ */
