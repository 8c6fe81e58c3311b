/* SPDX-License-Identifier: Apache-2.0 */
/* Memory protection, exceptions and interrupts of Cortex-M. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <microtvm/fault.h>

#include "../board.h"
#include "../semihosting.h"
#include "cpu.h"

/* System control and NVIC (Architecture Reference Manuals of Armv6-M, Armv7-M and Armv8-M,
 * chapter B3). */
#define NVIC_SET_ENABLE 0xe000e100u
#define NVIC_CLEAR_PENDING 0xe000e280u
#define CONFIGURATION_CONTROL 0xe000ed14u
#define CONFIGURATION_TRAP_DIVISION_BY_ZERO (1u << 4)
#define CONFIGURABLE_FAULT_STATUS 0xe000ed28u
#define HARD_FAULT_STATUS 0xe000ed2cu
#define MEMORY_FAULT_ADDRESS 0xe000ed34u
#define BUS_FAULT_ADDRESS 0xe000ed38u

#define STATUS_MEMORY_FAULT 0x000000ffu
#define STATUS_MEMORY_ADDRESS_VALID (1u << 7)
#define STATUS_BUS_FAULT 0x0000ff00u
#define STATUS_BUS_ADDRESS_VALID (1u << 15)
/* While an exception was stacked: memory fault, bus fault, stack pointer below its limit. */
#define STATUS_STACKING ((1u << 4) | (1u << 12) | (1u << 20))
/* Undefined instruction, invalid state, bad return, no coprocessor. */
#define STATUS_INSTRUCTION 0x000f0000u
#define STATUS_UNALIGNED (1u << 24)
#define STATUS_DIVISION_BY_ZERO (1u << 25)

#define RETURN_BASIC_FRAME (1u << 4)
#define BASIC_FRAME_BYTES 32u
#define FPU_FRAME_BYTES 104u
#define PSR_ALIGNED_STACK (1u << 9) /* the CPU left out a word to align the frame */

#define MPU_TYPE 0xe000ed90u
#define MPU_TYPE_REGIONS(type) (((type) >> 8) & 0xffu)
#define MPU_CONTROL 0xe000ed94u
#define MPU_ENABLE_WITH_BACKGROUND 5u
#define MPU_REGION 0xe000ed98u
#define MPU_BASE 0xe000ed9cu
#define MPU_SIZE_OR_LIMIT 0xe000eda0u

#define EXIT_STATUS 3u /* of the emulator, when the firmware gave up */

/* As start.S writes it. */
typedef struct {
  uint32_t sp, exception_return;
  uint32_t r4, r5, r6, r7, r8, r9, r10, r11;
  uint32_t r0, r1, r2, r3, r12, lr, pc, psr; /* the frame on the stack */
} CpuException;

extern CpuException cpu_exception;
CpuException cpu_exception;

extern uint8_t microtvm_flash_start[];
extern uint8_t microtvm_flash_end[];
extern uint8_t microtvm_ram_start[];

MICROTVM_NORETURN void CpuHandleException(void);

static uint8_t awaited_interrupt;

#if __ARM_ARCH == 7
/* Armv7-M regions are powers of two on multiples of themselves; of two that overlap the later one
 * counts. */
#define REGION_ENABLE 1u
#define REGION_SIZE(log2) (((log2) - 1u) << 1)
#define REGION_NORMAL_MEMORY (1u << 19)
#define REGION_READ_ONLY (6u << 24)
#define REGION_NO_ACCESS ((1u << 28) | (0u << 24)) /* nor execution */
#define SMALLEST_REGION_LOG2 5u
#define VECTORS_LOG2 6u
#define STACK_GUARD_LOG2 12u

static void SetRegion(uint32_t number, uint32_t base, uint32_t log2, uint32_t attributes) {
  CpuWrite32(MPU_REGION, number);
  CpuWrite32(MPU_BASE, base);
  CpuWrite32(MPU_SIZE_OR_LIMIT, attributes | REGION_SIZE(log2) | REGION_ENABLE);
}

/* The flash is read-only, as far as one region covers it. The vectors are out of reach, so that
 * using a null pointer is noticed, and so is what lies below the stack. */
static void ProtectMemory(void) {
  const uint32_t start = (uint32_t)(uintptr_t)microtvm_flash_start;
  const uint32_t flash_bytes = (uint32_t)(uintptr_t)microtvm_flash_end - start;
  const uint32_t ram = (uint32_t)(uintptr_t)microtvm_ram_start;
  uint32_t log2 = SMALLEST_REGION_LOG2;
  while (log2 < 31u && (2u << log2) <= flash_bytes && start % (2u << log2) == 0) {
    ++log2;
  }
  if (flash_bytes > 0) {
    SetRegion(0, start, log2, REGION_NORMAL_MEMORY | REGION_READ_ONLY);
    SetRegion(1, 0, VECTORS_LOG2, REGION_NO_ACCESS);
  }
  if (ram % (1u << STACK_GUARD_LOG2) == 0) {
    SetRegion(2, ram - (1u << STACK_GUARD_LOG2), STACK_GUARD_LOG2, REGION_NO_ACCESS);
  }
  CpuWrite32(MPU_CONTROL, MPU_ENABLE_WITH_BACKGROUND);
}
#elif __ARM_ARCH >= 8
/* Armv8-M regions are any number of 32 bytes. The stack has a limit register, see start.S. */
#define MPU_ATTRIBUTES_0 0xe000edc0u
#define ATTRIBUTES_NORMAL_MEMORY 0xffu
#define REGION_READ_ONLY (2u << 1)
#define REGION_ENABLE 1u
#define REGION_LIMIT_MASK 0xffffffe0u

/* The flash is read-only. */
static void ProtectMemory(void) {
  const uint32_t start = (uint32_t)(uintptr_t)microtvm_flash_start;
  const uint32_t end = (uint32_t)(uintptr_t)microtvm_flash_end;
  if (end > start) {
    CpuWrite32(MPU_ATTRIBUTES_0, ATTRIBUTES_NORMAL_MEMORY);
    CpuWrite32(MPU_REGION, 0);
    CpuWrite32(MPU_BASE, start | REGION_READ_ONLY);
    CpuWrite32(MPU_SIZE_OR_LIMIT, ((end - 1u) & REGION_LIMIT_MASK) | REGION_ENABLE);
    CpuWrite32(MPU_CONTROL, MPU_ENABLE_WITH_BACKGROUND);
  }
}
#endif

void CpuInitialize(void) {
#if __ARM_ARCH >= 7
  CpuWrite32(CONFIGURATION_CONTROL,
             CpuRead32(CONFIGURATION_CONTROL) | CONFIGURATION_TRAP_DIVISION_BY_ZERO);
  if (MPU_TYPE_REGIONS(CpuRead32(MPU_TYPE)) != 0) {
    ProtectMemory();
    __asm__ volatile("dsb\n\tisb" : : : "memory");
  }
#endif
}

void CpuEnableInterrupt(uint8_t number) {
  awaited_interrupt = number;
  CpuWrite32(NVIC_SET_ENABLE + 4u * (number / 32u), 1u << (number % 32u));
}

void CpuWaitForInterrupt(void) {
  /* A masked interrupt is not taken, but ends wfi; a pending one does not even let it begin. */
  __asm__ volatile("dsb\n\twfi" : : : "memory");
  CpuWrite32(NVIC_CLEAR_PENDING + 4u * (awaited_interrupt / 32u), 1u << (awaited_interrupt % 32u));
}

void CpuHalt(void) {
  SemihostingExit(EXIT_STATUS);
  for (;;) {
    __asm__ volatile("wfi");
  }
}

static const char *ExceptionName(uint32_t status) {
  if ((status & STATUS_STACKING) != 0 ||
      cpu_exception.sp < (uint32_t)(uintptr_t)microtvm_stack_start) {
    return "stack overflow";
  }
  if ((status & STATUS_DIVISION_BY_ZERO) != 0) {
    return "division by zero";
  }
  if ((status & STATUS_UNALIGNED) != 0) {
    return "unaligned access";
  }
  if ((status & STATUS_INSTRUCTION) != 0) {
    return "invalid instruction";
  }
  if ((status & STATUS_MEMORY_FAULT) != 0) {
    return "memory protection";
  }
  return (status & STATUS_BUS_FAULT) != 0 ? "bus fault" : "hard fault";
}

void CpuHandleException(void) {
  const CpuException *const e = &cpu_exception;
  uint32_t status = 0;
  uint32_t address = 0;
  bool has_address = false;
#if __ARM_ARCH >= 7
  status = CpuRead32(CONFIGURABLE_FAULT_STATUS);
  has_address = (status & (STATUS_BUS_ADDRESS_VALID | STATUS_MEMORY_ADDRESS_VALID)) != 0;
  if (has_address) {
    address = CpuRead32((status & STATUS_BUS_ADDRESS_VALID) != 0 ? BUS_FAULT_ADDRESS
                                                                 : MEMORY_FAULT_ADDRESS);
  }
#endif
  const uint32_t frame_bytes =
      ((e->exception_return & RETURN_BASIC_FRAME) != 0 ? BASIC_FRAME_BYTES : FPU_FRAME_BYTES) +
      ((e->psr & PSR_ALIGNED_STACK) != 0 ? 4u : 0u);
  const MicroTVMRegister registers[] = {
      {"pc", e->pc},    {"sp", e->sp + frame_bytes},
      {"lr", e->lr},    {"psr", e->psr},
      {"r0", e->r0},    {"r1", e->r1},
      {"r2", e->r2},    {"r3", e->r3},
      {"r4", e->r4},    {"r5", e->r5},
      {"r6", e->r6},    {"r7", e->r7},
      {"r8", e->r8},    {"r9", e->r9},
      {"r10", e->r10},  {"r11", e->r11},
      {"r12", e->r12},  {"exc_return", e->exception_return},
      {"cfsr", status}, {"address", address}, /* the last, for it may be left out */
  };
  const size_t count = sizeof(registers) / sizeof(registers[0]);
  MicroTVMFault(ExceptionName(status), registers, has_address ? count : count - 1u);
}
