/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of whoever runs the program: QEMU answers them, and a debugger stops there. (Semihosting
 * for AArch32 and AArch64, and RISC-V Semihosting.) */
#ifndef MICROTVM_SEMIHOSTING_H_
#define MICROTVM_SEMIHOSTING_H_

#include <stdint.h>

#define SEMIHOSTING_WRITE 0x04u /* a text that ends with 0 */
#define SEMIHOSTING_EXIT 0x20u
#define SEMIHOSTING_APPLICATION_EXIT 0x20026u

static inline void SemihostingCall(uintptr_t operation, const void *argument) {
#if defined(__riscv)
  register uintptr_t first __asm__("a0") = operation;
  register const void *second __asm__("a1") = argument;
  /* Whoever serves the call knows it by the instructions around it, none of them compressed. */
  __asm__ volatile(
      ".balign 16\n\t"
      ".option push\n\t"
      ".option norvc\n\t"
      "slli zero, zero, 0x1f\n\t"
      "ebreak\n\t"
      "srai zero, zero, 7\n\t"
      ".option pop"
      : "+r"(first)
      : "r"(second)
      : "memory");
#else
  register uintptr_t first __asm__("r0") = operation;
  register const void *second __asm__("r1") = argument;
#if __ARM_ARCH_PROFILE == 'M'
  __asm__ volatile("bkpt 0xab" : "+r"(first) : "r"(second) : "memory");
#else
  __asm__ volatile("svc 0x123456" : "+r"(first) : "r"(second) : "memory", "lr");
#endif
#endif
}

/* End the emulator; returns where nobody answers. */
static inline void SemihostingExit(uintptr_t status) {
  const uintptr_t arguments[] = {SEMIHOSTING_APPLICATION_EXIT, status};
  SemihostingCall(SEMIHOSTING_EXIT, arguments);
}

#endif /* MICROTVM_SEMIHOSTING_H_ */
