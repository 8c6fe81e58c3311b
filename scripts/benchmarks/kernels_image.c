/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a model RUNS times without anything else, on a Cortex-M or RISC-V in an emulator or on the
 * host, and prints, by semihosting or to the standard output: the timer's ticks, the bytes of stack
 * that were used, the bytes of the outputs. The inputs are made by the same generator everywhere.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "model.h" /* made by kernels.py: the model's header, and macros for its tensors */

#define STACK_PAINT 0xa5u

static uint8_t workspace[WORKSPACE_BYTES + 1] __attribute__((aligned(16)));
static uint8_t input_data[INPUT_BYTES] __attribute__((aligned(16)));
static uint8_t output_data[OUTPUT_BYTES] __attribute__((aligned(16)));

static void Print(const char *text);
static uint32_t Ticks(void);
static uint32_t StackBytes(void);
static void PaintStack(void);

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

#if defined(FLOAT_INPUTS)
/* Four bytes of noise at a time become a float between -2 and 2. */
static void MakeFloats(uint8_t *data, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const float value = (float)((int8_t)data[4 * i] * 256 + data[4 * i + 1]) / 16384.0f;
    memcpy(data + 4 * i, &value, sizeof(value));
  }
}
#endif

static int32_t Run(void) {
  struct MODEL_INPUTS inputs;
  struct MODEL_OUTPUTS outputs;
  struct MODEL_POOLS pools = {workspace};
  SET_INPUTS(inputs, input_data);
  SET_OUTPUTS(outputs, output_data);
  return MODEL_RUN(&inputs, &outputs, &pools);
}

int main(void) {
  uint32_t seed = 1;
  for (size_t i = 0; i < sizeof(input_data); ++i) {
    seed = seed * 1664525u + 1013904223u;
    input_data[i] = (uint8_t)(seed >> 24);
  }
#if defined(FLOAT_INPUTS)
  static const struct {
    size_t offset, count;
  } floats[] = FLOAT_INPUTS;
  for (size_t i = 0; i < sizeof(floats) / sizeof(floats[0]); ++i) {
    MakeFloats(input_data + floats[i].offset, floats[i].count);
  }
#endif
  PaintStack();
  int32_t status = Run();
  PrintNumber(StackBytes());
  const uint32_t start = Ticks();
  for (int i = 0; i < RUNS; ++i) {
    status |= Run();
  }
  PrintNumber(Ticks() - start);
  PrintNumber((uint32_t)status);
  for (size_t i = 0; i < sizeof(output_data); ++i) {
    PrintNumber(output_data[i]);
  }
  return 0;
}

#if defined(ON_HOST)

#include <stdio.h>

static void Print(const char *text) { fputs(text, stdout); }
static uint32_t Ticks(void) { return 0; }
static uint32_t StackBytes(void) { return 0; }
static void PaintStack(void) {}

#else

#define SYS_WRITE0 4
#define SYS_EXIT 0x18
#define STOPPED_BY_APPLICATION 0x20026

extern uint8_t stack_start[], stack_end[];
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

static uint8_t *StackPointer(void) {
  uint8_t *end;
  __asm__ volatile("mv %0, sp" : "=r"(end));
  return end;
}

/* The instructions. */
static void StartTimer(void) {}
static uint32_t Ticks(void) {
  uintptr_t count;
  __asm__ volatile(".option push\n\t.option arch, +zicsr\n\tcsrr %0, minstret\n\t.option pop"
                   : "=r"(count));
  return (uint32_t)count;
}

#else

#define CPACR (*(volatile uint32_t *)0xe000ed88)

static void Semihost(uint32_t operation, const void *argument) {
  register uint32_t r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void Exit(void) { Semihost(SYS_EXIT, (const void *)STOPPED_BY_APPLICATION); }

static uint8_t *StackPointer(void) {
  uint8_t *end;
  __asm__ volatile("mov %0, sp" : "=r"(end));
  return end;
}

/* CMSDK's timer on the MPS2 boards, SysTick on the MPS3 board: both count down. */
#if defined(TIMER_SYSTICK)
#define TIMER ((volatile uint32_t *)0xe000e010)
#define TIMER_MASK 0xffffffu
static void StartTimer(void) {
  TIMER[1] = TIMER_MASK;
  TIMER[2] = 0;
  TIMER[0] = 5; /* on, at the CPU's clock */
}
static uint32_t Ticks(void) { return TIMER_MASK - TIMER[2]; }
#else
#define TIMER ((volatile uint32_t *)0x40000000)
static void StartTimer(void) {
  TIMER[2] = 0xffffffffu;
  TIMER[1] = 0xffffffffu;
  TIMER[0] = 1;
}
static uint32_t Ticks(void) { return ~TIMER[1]; }
#endif

#endif

static void Print(const char *text) { Semihost(SYS_WRITE0, text); }

static void __attribute__((noinline)) PaintStack(void) {
  const uint8_t *const end = StackPointer();
  for (volatile uint8_t *at = stack_start; at < end; ++at) {
    *at = STACK_PAINT;
  }
}

static uint32_t StackBytes(void) {
  const uint8_t *at = stack_start;
  while (*at == STACK_PAINT) {
    ++at;
  }
  return (uint32_t)(stack_end - at);
}

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
  StartTimer();
  (void)main();
  Exit();
}

#if !defined(__riscv)
__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    stack_end,           (const void *)Start, (const void *)Fault, (const void *)Fault,
    (const void *)Fault, (const void *)Fault, (const void *)Fault};
#endif

#endif
