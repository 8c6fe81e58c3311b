/* SPDX-License-Identifier: Apache-2.0 */
/* The i386 as the rest of the firmware sees it. Registers of devices are I/O ports. */
#ifndef MICROTVM_CPU_H_
#define MICROTVM_CPU_H_

#include <stdint.h>

/* Reads and writes a device's register. */
static inline uint8_t CpuRead8(uintptr_t address) {
  uint8_t value;
  __asm__ volatile("inb %w1, %0" : "=a"(value) : "Nd"(address) : "memory");
  return value;
}

static inline void CpuWrite8(uintptr_t address, uint8_t value) {
  __asm__ volatile("outb %0, %w1" : : "a"(value), "Nd"(address) : "memory");
}

/* Exceptions are reported from now on. */
void CpuInitialize(void);

/* Lets a device interrupt while the CPU waits in CpuWaitForInterrupt, and only there. */
void CpuEnableInterrupt(uint8_t number);

/* Sleeps until a device interrupts; at once when one has done so since the last call. */
void CpuWaitForInterrupt(void);

/* Stops for good. An emulator ends, and its exit status tells that something went wrong. */
__attribute__((noreturn)) void CpuHalt(void);

#endif /* MICROTVM_CPU_H_ */
