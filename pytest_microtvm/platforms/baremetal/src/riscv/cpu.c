/* SPDX-License-Identifier: Apache-2.0 */
/* Memory protection, exceptions and interrupts of RISC-V in machine mode. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <microtvm/fault.h>

#include "../board.h"
#include "../semihosting.h"
#include "cpu.h"

/* The interrupt controller, where SiFive and QEMU have it (RISC-V PLIC Specification). Context 0 is
 * machine mode of the first hart. */
#define PLIC 0x0c000000u
#define PLIC_PRIORITY (PLIC + 0x000000u)
#define PLIC_ENABLE (PLIC + 0x002000u)
#define PLIC_THRESHOLD (PLIC + 0x200000u)
#define PLIC_CLAIM (PLIC + 0x200004u)
#define MIE_EXTERNAL (1u << 11)

/* Physical memory protection (Privileged Architecture, chapter 3.7). */
#define PMP_READ_EXECUTE 0x05u
#define PMP_POWER_OF_TWO 0x18u
#define PMP_LOCKED 0x80u /* machine mode has to keep to it, too */

#define EXIT_STATUS 3u /* of the emulator, when the firmware gave up */

#define NUM_REGISTERS 32u

/* Every hart has these registers, but compilers with libraries for rv32imac have none for
 * rv32imac_zicsr. */
__asm__(".option arch, +zicsr");

#define CsrRead(name)                                  \
  __extension__({                                      \
    uintptr_t value_;                                  \
    __asm__ volatile("csrr %0, " name : "=r"(value_)); \
    value_;                                            \
  })
#define CsrWrite(name, value) \
  __asm__ volatile("csrw " name ", %0" : : "r"((uintptr_t)(value)) : "memory")
#define CsrSet(name, bits) \
  __asm__ volatile("csrs " name ", %0" : : "r"((uintptr_t)(bits)) : "memory")

/* Causes of exceptions. */
enum {
  kFetchMisaligned,
  kFetchFault,
  kIllegalInstruction,
  kBreakpoint,
  kLoadMisaligned,
  kLoadFault,
  kStoreMisaligned,
  kStoreFault,
};

/* As start.S writes them; the first is not used. */
extern uintptr_t cpu_registers[NUM_REGISTERS];
uintptr_t cpu_registers[NUM_REGISTERS];

extern uint8_t microtvm_flash_start[];
extern uint8_t microtvm_flash_end[];

MICROTVM_NORETURN void CpuHandleException(void);

static bool handling_exception;

/* Makes the flash read-only, as far as one region covers it: a region is a power of two in size and
 * starts on a multiple of its size. */
void CpuInitialize(void) {
  const uintptr_t start = (uintptr_t)microtvm_flash_start;
  const uintptr_t flash_bytes = (uintptr_t)microtvm_flash_end - start;
  uintptr_t bytes = 8;
  while (bytes * 2u <= flash_bytes && start % (bytes * 2u) == 0) {
    bytes *= 2u;
  }
  if (flash_bytes > 0) {
    CsrWrite("pmpaddr0", (start >> 2) | ((bytes >> 3) - 1u));
    CsrWrite("pmpcfg0", PMP_LOCKED | PMP_POWER_OF_TWO | PMP_READ_EXECUTE);
  }
}

void CpuEnableInterrupt(uint8_t number) {
  const uint32_t word = 4u * (number / 32u);
  CpuWrite32(PLIC_PRIORITY + 4u * number, 1);
  CpuWrite32(PLIC_ENABLE + word, CpuRead32(PLIC_ENABLE + word) | 1u << (number % 32u));
  CpuWrite32(PLIC_THRESHOLD, 0);
  CsrSet("mie", MIE_EXTERNAL);
}

void CpuWaitForInterrupt(void) {
  /* An interrupt ends wfi, but is not taken since mstatus.MIE is off; one pending does not let it
   * begin. */
  __asm__ volatile("wfi" : : : "memory");
  CpuWrite32(PLIC_CLAIM, CpuRead32(PLIC_CLAIM));
}

void CpuHalt(void) {
  SemihostingExit(EXIT_STATUS);
  for (;;) {
    __asm__ volatile("wfi");
  }
}

static const char *ExceptionName(uintptr_t cause) {
  const uintptr_t sp = cpu_registers[2];
  if (sp < (uintptr_t)microtvm_stack_start || sp > (uintptr_t)microtvm_stack_end) {
    return "stack overflow";
  }
  switch (cause) {
    case kFetchMisaligned:
    case kLoadMisaligned:
    case kStoreMisaligned:
      return "unaligned access";
    case kIllegalInstruction:
      return "invalid instruction";
    case kFetchFault:
    case kLoadFault:
    case kStoreFault:
      return "access fault"; /* nothing there, or protected */
    default:
      return "exception";
  }
}

static bool HasAddress(uintptr_t cause) {
  return cause <= kStoreFault && cause != kIllegalInstruction && cause != kBreakpoint;
}

void CpuHandleException(void) {
  if (handling_exception) {
    CpuHalt(); /* not even the report of an exception got through */
  }
  handling_exception = true;
  static const char *const names[NUM_REGISTERS] = {
      "",   "ra", "",   "gp", "tp",  "t0",  "t1", "t2", "s0", "s1", "a0",
      "a1", "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
      "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
  static MicroTVMRegister registers[NUM_REGISTERS + 2u];
  const uintptr_t cause = CsrRead("mcause");
  size_t count = 0;
  registers[count++] = (MicroTVMRegister){"pc", CsrRead("mepc")};
  registers[count++] = (MicroTVMRegister){"sp", cpu_registers[2]};
  if (HasAddress(cause)) {
    registers[count++] = (MicroTVMRegister){"address", CsrRead("mtval")};
  }
  registers[count++] = (MicroTVMRegister){"mcause", cause};
  for (size_t i = 1; i < NUM_REGISTERS; ++i) {
    if (names[i][0] != '\0') {
      registers[count++] = (MicroTVMRegister){names[i], cpu_registers[i]};
    }
  }
  MicroTVMFault(ExceptionName(cause), registers, count);
}
