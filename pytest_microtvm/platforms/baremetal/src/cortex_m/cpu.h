/* SPDX-License-Identifier: Apache-2.0 */
/* A Cortex-M as the rest of the firmware sees it. Registers of devices are in memory. */
#ifndef MICROTVM_CPU_H_
#define MICROTVM_CPU_H_

#include <stdint.h>

/* Reads and writes a device's register. */
static inline uint32_t CpuRead32(uintptr_t address) { return *(volatile uint32_t *)address; }

static inline void CpuWrite32(uintptr_t address, uint32_t value) {
  *(volatile uint32_t *)address = value;
}

static inline uint8_t CpuRead8(uintptr_t address) { return *(volatile uint8_t *)address; }

static inline void CpuWrite8(uintptr_t address, uint8_t value) {
  *(volatile uint8_t *)address = value;
}

/* Memory is protected, as far as the CPU can, and division by zero noticed. */
void CpuInitialize(void);

/* Lets a device's interrupt end CpuWaitForInterrupt; one device at most. */
void CpuEnableInterrupt(uint8_t number);

/* Sleeps until that device interrupts; at once when it has done so since the last call. */
void CpuWaitForInterrupt(void);

/* Stops for good. An emulator ends, and its exit status tells that something went wrong. */
__attribute__((noreturn)) void CpuHalt(void);

#endif /* MICROTVM_CPU_H_ */
