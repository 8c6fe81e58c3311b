/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a model RUNS times without anything else, on a Cortex-M or RISC-V in an emulator or on the
 * host, and prints, by semihosting or to the standard output: the timer's ticks, the bytes of stack
 * that were used, the bytes of the outputs. The inputs are made by the same generator everywhere.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bare.h"
#include "model.h" /* made by kernels.py: the model's header, and macros for its tensors */

#define STACK_PAINT 0xa5u

static uint8_t workspace[WORKSPACE_BYTES + 1] __attribute__((aligned(16)));
static uint8_t input_data[INPUT_BYTES] __attribute__((aligned(16)));
static uint8_t output_data[OUTPUT_BYTES] __attribute__((aligned(16)));

static uint32_t Ticks(void);
static uint32_t StackBytes(void);
static void PaintStack(void);
static void StartTimer(void);

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
  StartTimer();
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

static void StartTimer(void) {}
static uint32_t Ticks(void) { return 0; }
static uint32_t StackBytes(void) { return 0; }
static void PaintStack(void) {}

#else

extern uint8_t stack_start[];

#if defined(__riscv)

/* The instructions. */
static void StartTimer(void) {}
static uint32_t Ticks(void) {
  uintptr_t count;
  __asm__ volatile(".option push\n\t.option arch, +zicsr\n\tcsrr %0, minstret\n\t.option pop"
                   : "=r"(count));
  return (uint32_t)count;
}

/* CMSDK's timer on the MPS2 boards, SysTick on the MPS3 board: both count down. */
#elif defined(TIMER_SYSTICK)
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

static void __attribute__((noinline)) PaintStack(void) {
  uint8_t *end;
#if defined(__riscv)
  __asm__ volatile("mv %0, sp" : "=r"(end));
#else
  __asm__ volatile("mov %0, sp" : "=r"(end));
#endif
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

#endif
