/* SPDX-License-Identifier: Apache-2.0 */
/* From reset to main, and standard output, of a Cortex-M in QEMU: all by semihosting. */
#include <stdint.h>
#include <stdio.h>

#define SYS_WRITEC 0x03u
#define SYS_EXIT_EXTENDED 0x20u
#define APPLICATION_EXIT 0x20026u
#define CPACR (*(volatile uint32_t *)0xe000ed88u)
#define CPACR_FPU (0xfu << 20)

extern uint32_t stack_end[], data_start[], data_end[], data_load[], bss_start[], bss_end[];

int main(void);
int _write(int file, const char *text, int size);
void Reset(void);

static void CallHost(uint32_t operation, const void *argument) {
  register uint32_t r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

int _write(int file, const char *text, int size) {
  (void)file;
  for (int i = 0; i < size; ++i) {
    CallHost(SYS_WRITEC, &text[i]);
  }
  return size;
}

void Reset(void) {
  CPACR |= CPACR_FPU;
  for (uint32_t *to = data_start, *from = data_load; to < data_end; ++to, ++from) {
    *to = *from;
  }
  for (uint32_t *to = bss_start; to < bss_end; ++to) {
    *to = 0;
  }
  setvbuf(stdout, NULL, _IONBF, 0);
  const uint32_t status[] = {APPLICATION_EXIT, (uint32_t)main()};
  CallHost(SYS_EXIT_EXTENDED, status);
  for (;;) {
  }
}

static void Fault(void) {
  const uint32_t status[] = {APPLICATION_EXIT, 99};
  CallHost(SYS_EXIT_EXTENDED, status);
  for (;;) {
  }
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_end,           (const void *)Reset, (const void *)Fault, (const void *)Fault,
    (const void *)Fault, (const void *)Fault, (const void *)Fault,
};
