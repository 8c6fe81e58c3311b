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

#define SYS_WRITE0 4
#define SYS_EXIT 0x18
#define STOPPED_BY_APPLICATION 0x20026

extern uint8_t stack_end[];
int main(void);
void Start(void);

#if defined(__riscv)

static void Semihost(uintptr_t operation, const void *argument) {
  register uintptr_t a0 __asm__("a0") = operation;
  register const void *a1 __asm__("a1") = argument;
  __asm__ volatile(
      ".balign 16\n\t"
      ".option push\n\t"
      ".option norvc\n\t"
      "slli zero, zero, 0x1f\n\t"
      "ebreak\n\t"
      "srai zero, zero, 7\n\t"
      ".option pop"
      : "+r"(a0)
      : "r"(a1)
      : "memory");
}

static void Exit(void) {
  static const uintptr_t arguments[] = {STOPPED_BY_APPLICATION, 0};
  Semihost(SYS_EXIT, sizeof(uintptr_t) == 4 ? (const void *)STOPPED_BY_APPLICATION : arguments);
}

#else

#define CPACR (*(volatile uint32_t *)0xe000ed88)

static void Semihost(uint32_t operation, const void *argument) {
  register uint32_t r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void Exit(void) { Semihost(SYS_EXIT, (const void *)STOPPED_BY_APPLICATION); }

#endif

static void Print(const char *text) { Semihost(SYS_WRITE0, text); }

void Fault(void);

__attribute__((used, aligned(4))) void Fault(void) {
  Print("fault\n");
  Exit();
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

#endif

void Start(void) {
#if !defined(__riscv)
  CPACR |= 0xfu << 20; /* the FPU, and Helium */
  __asm__ volatile("dsb\n\tisb");
#endif
  (void)main();
  Exit();
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
