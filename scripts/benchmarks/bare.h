/* SPDX-License-Identifier: Apache-2.0 */
/* What a program of one file needs to run alone on an emulated Cortex-M or RISC-V, from reset to
 * main and to the emulator's end, and to print by semihosting; or on the host, with ON_HOST. The
 * linker's script has .vectors first and names the end of the stack. */
#ifndef BARE_H_
#define BARE_H_

#include <stddef.h>
#include <stdint.h>

#if defined(ON_HOST)

#include <stdio.h>

static void Print(const char *text) { fputs(text, stdout); }

#else

#include "../../pytest_microtvm/platforms/baremetal/src/semihosting.h"

extern uint8_t stack_end[];
int main(void);
void Start(void);

static void Print(const char *text) { SemihostingCall(SEMIHOSTING_WRITE, text); }

void Fault(void);

__attribute__((used, aligned(4))) void Fault(void) {
  Print("fault\n");
  SemihostingExit(0);
}

#if defined(__riscv)

/* From reset: the stack, faults, the FPU and vectors. */
__asm__(
    ".section .vectors, \"ax\"\n"
    ".option push\n"
    ".option arch, +zicsr\n"
    "la sp, stack_end\n"
    "la t0, Fault\n"
    "csrw mtvec, t0\n"
    "li t0, (1 << 13) | (1 << 9)\n"
    "csrs mstatus, t0\n"
    "call Start\n"
    ".option pop\n"
    ".text\n");

#else

#define CPACR (*(volatile uint32_t *)0xe000ed88)

#endif

void Start(void) {
#if !defined(__riscv)
  CPACR |= 0xfu << 20; /* the FPU, and Helium */
  __asm__ volatile("dsb\n\tisb");
#endif
  (void)main();
  SemihostingExit(0);
}

#if !defined(__riscv)
__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    stack_end,           (const void *)Start, (const void *)Fault, (const void *)Fault,
    (const void *)Fault, (const void *)Fault, (const void *)Fault};
#endif

#endif

static void PrintNumber(uint32_t number) {
  char text[12];
  size_t at = sizeof(text);
  text[--at] = '\0';
  text[--at] = '\n';
  do {
    text[--at] = (char)('0' + number % 10u);
    number /= 10u;
  } while (number != 0);
  Print(text + at);
}

#endif /* BARE_H_ */
