/* SPDX-License-Identifier: Apache-2.0 */
/* Memory protection and exceptions of Cortex-R. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <microtvm/fault.h>

#include "../board.h"
#include "../semihosting.h"
#include "cpu.h"

/* The memory protection unit (Armv7-R Architecture Reference Manual, chapter B5). */
#define CONTROL_MPU (1u << 0)
#define CONTROL_BACKGROUND_REGION (1u << 17)
#define REGION_ENABLE 1u
#define REGION_SIZE(log2) (((log2) - 1u) << 1)
#define REGION_NORMAL_MEMORY (1u << 3)
#define REGION_READ_ONLY (6u << 8)
#define SMALLEST_REGION_LOG2 5u

#define EXIT_STATUS 3u /* of the emulator, when the firmware gave up */

#define NUM_GENERAL_REGISTERS 13u

/* The operands of a coprocessor 15 instruction. */
#define CONTROL "c1, c0, 0"
#define DATA_FAULT_STATUS "c5, c0, 0"
#define INSTRUCTION_FAULT_STATUS "c5, c0, 1"
#define DATA_FAULT_ADDRESS "c6, c0, 0"
#define REGION_BASE "c6, c1, 0"
#define REGION_SIZE_AND_ENABLE "c6, c1, 2"
#define REGION_ACCESS "c6, c1, 4"
#define REGION_NUMBER "c6, c2, 0"

/* The operands are part of the instruction: hence macros. */
#define SystemRead(operands, variable) \
  __asm__ volatile("mrc p15, 0, %0, " operands : "=r"(variable))
#define SystemWrite(operands, value) \
  __asm__ volatile("mcr p15, 0, %0, " operands : : "r"(value) : "memory")

enum {
  kUndefined = 1,
  kSupervisorCall,
  kPrefetchAbort,
  kDataAbort,
};

/* As start.S writes it. */
typedef struct {
  uint32_t r[NUM_GENERAL_REGISTERS];
  uint32_t sp, lr;
  uint32_t number;
  uint32_t return_address; /* some instructions after the one that failed */
  uint32_t psr;
} CpuException;

extern CpuException cpu_exception;
CpuException cpu_exception;

extern uint8_t microtvm_flash_start[];
extern uint8_t microtvm_flash_end[];

MICROTVM_NORETURN void CpuHandleException(void);

static bool handling_exception;

/* Makes the flash read-only, as far as one region covers it: a region is a power of two in size and
 * starts on a multiple of its size. */
void CpuInitialize(void) {
  const uint32_t start = (uint32_t)(uintptr_t)microtvm_flash_start;
  const uint32_t flash_bytes = (uint32_t)(uintptr_t)microtvm_flash_end - start;
  uint32_t log2 = SMALLEST_REGION_LOG2;
  while (log2 < 31u && (2u << log2) <= flash_bytes && start % (2u << log2) == 0) {
    ++log2;
  }
  if (flash_bytes > 0) {
    uint32_t control;
    SystemWrite(REGION_NUMBER, 0);
    SystemWrite(REGION_BASE, start);
    SystemWrite(REGION_ACCESS, REGION_READ_ONLY | REGION_NORMAL_MEMORY);
    SystemWrite(REGION_SIZE_AND_ENABLE, REGION_SIZE(log2) | REGION_ENABLE);
    SystemRead(CONTROL, control);
    __asm__ volatile("dsb" : : : "memory");
    SystemWrite(CONTROL, control | CONTROL_MPU | CONTROL_BACKGROUND_REGION);
    __asm__ volatile("isb" : : : "memory");
  }
}

void CpuHalt(void) {
  SemihostingExit(EXIT_STATUS);
  for (;;) {
    __asm__ volatile("wfi");
  }
}

static const char *ExceptionName(uint32_t number) {
  if (cpu_exception.sp < (uint32_t)(uintptr_t)microtvm_stack_start) {
    return "stack overflow";
  }
  switch (number) {
    case kUndefined:
      return "invalid instruction";
    case kPrefetchAbort:
    case kDataAbort:
      return "access fault"; /* nothing there, or protected */
    default:
      return "exception";
  }
}

void CpuHandleException(void) {
  const CpuException *const e = &cpu_exception;
  if (handling_exception) {
    CpuHalt(); /* not even the report of an exception got through */
  }
  handling_exception = true;
  uint32_t address = 0;
  uint32_t status = 0;
  if (e->number == kDataAbort) {
    SystemRead(DATA_FAULT_ADDRESS, address);
    SystemRead(DATA_FAULT_STATUS, status);
  } else if (e->number == kPrefetchAbort) {
    SystemRead(INSTRUCTION_FAULT_STATUS, status);
  }
  const uint32_t pc = e->return_address - (e->number == kDataAbort ? 8u : 4u);
  /* The address is the last, because it may be left out. */
  const MicroTVMRegister registers[] = {
      {"pc", pc},        {"sp", e->sp},   {"lr", e->lr},        {"psr", e->psr},
      {"r0", e->r[0]},   {"r1", e->r[1]}, {"r2", e->r[2]},      {"r3", e->r[3]},
      {"r4", e->r[4]},   {"r5", e->r[5]}, {"r6", e->r[6]},      {"r7", e->r[7]},
      {"r8", e->r[8]},   {"r9", e->r[9]}, {"r10", e->r[10]},    {"r11", e->r[11]},
      {"r12", e->r[12]}, {"fsr", status}, {"address", address},
  };
  const size_t count = sizeof(registers) / sizeof(registers[0]);
  MicroTVMFault(ExceptionName(e->number), registers, e->number == kDataAbort ? count : count - 1u);
}
