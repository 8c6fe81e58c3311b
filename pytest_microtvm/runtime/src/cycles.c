/* SPDX-License-Identifier: Apache-2.0 */
/* Counts cycles by the CPU's own counter. */
#include <microtvm/cycles.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef MICROTVM_HAS_DWT
#if defined(__ARM_ARCH_PROFILE) && defined(__ARM_ARCH_ISA_THUMB)
#define MICROTVM_HAS_DWT (__ARM_ARCH_PROFILE == 'M' && __ARM_ARCH_ISA_THUMB >= 2)
#else
#define MICROTVM_HAS_DWT 0
#endif
#endif

#if MICROTVM_HAS_DWT

/* How its registers are read and written. */
#ifndef MICROTVM_DWT_READ
#define MICROTVM_DWT_READ(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define MICROTVM_DWT_WRITE(address, value) (*(volatile uint32_t *)(uintptr_t)(address) = (value))
#endif

/* Armv7-M and Armv8-M Architecture Reference Manuals, "The Data Watchpoint and Trace unit". */
#define DEMCR 0xE000EDFCu
#define DEMCR_TRCENA (UINT32_C(1) << 24)
#define DWT_CTRL 0xE0001000u
#define DWT_CTRL_NOCYCCNT (UINT32_C(1) << 25)
#define DWT_CTRL_CYCCNTENA UINT32_C(1)
#define DWT_CYCCNT 0xE0001004u
#define DWT_LAR 0xE0001FB0u /* of a Cortex-M7, whose DWT is locked after a reset */
#define DWT_LAR_KEY 0xC5ACCE55u

#define COUNTER_NAME "DWT "
typedef uint32_t Count;

static Count Read(void) { return MICROTVM_DWT_READ(DWT_CYCCNT); }

static bool Enable(void) {
  MICROTVM_DWT_WRITE(DEMCR, MICROTVM_DWT_READ(DEMCR) | DEMCR_TRCENA);
  MICROTVM_DWT_WRITE(DWT_LAR, DWT_LAR_KEY);
  if ((MICROTVM_DWT_READ(DWT_CTRL) & DWT_CTRL_NOCYCCNT) != 0) {
    return false;
  }
  MICROTVM_DWT_WRITE(DWT_CTRL, MICROTVM_DWT_READ(DWT_CTRL) | DWT_CTRL_CYCCNTENA);
  return true;
}

#elif defined(__riscv)

/* Compilers with libraries for rv32imac have none for rv32imac_zicsr, in which it is now. */
#define READ_CSR(name, value)                                                                 \
  __asm__ volatile(".option push\n\t.option arch, +zicsr\n\tcsrr %0, " name "\n\t.option pop" \
                   : "=r"(value))

#define COUNTER_NAME "mcycle "
typedef uint64_t Count;

static Count Read(void) {
  uintptr_t low;
#if __riscv_xlen == 32
  uintptr_t high;
  uintptr_t high_again;
  do {
    READ_CSR("mcycleh", high);
    READ_CSR("mcycle", low);
    READ_CSR("mcycleh", high_again);
  } while (high != high_again);
  return (uint64_t)high << 32 | low;
#else
  READ_CSR("mcycle", low);
  return low;
#endif
}

static bool Enable(void) { return true; }

#else

#define COUNTER_NAME ""
typedef uint32_t Count;

static Count Read(void) { return 0; }

static bool Enable(void) { return false; }

#endif

#define MAX_DIGITS 20u /* of 64 bits */

static const char kName[] = COUNTER_NAME;

static struct {
  bool is_there; /* whether the counter counts */
  Count count;   /* where it stood at the start; then what it counted */
  char text[sizeof(kName) + MAX_DIGITS];
} cycles;

void MicroTVMCyclesStart(void) {
  cycles.is_there = Enable() && Read() != Read();
  cycles.count = Read();
}

void MicroTVMCyclesStop(void) { cycles.count = (Count)(Read() - cycles.count); }

const char *MicroTVMCyclesText(void) {
  char *to = &cycles.text[sizeof(cycles.text) - 1u];
  Count rest = cycles.count;
  if (!cycles.is_there) {
    return to; /* it is 0 */
  }
  do {
    *--to = (char)('0' + (char)(rest % 10u));
    rest /= 10u;
  } while (rest != 0);
  for (size_t i = sizeof(kName) - 1u; i > 0; --i) {
    *--to = kName[i - 1u];
  }
  return to;
}
