/* SPDX-License-Identifier: Apache-2.0 */
/* Fatal errors of a Cortex-M, as Zephyr 3.3 tells of them. */
#ifndef STANDIN_FATAL_H_
#define STANDIN_FATAL_H_

#include <stdint.h>

enum {
  K_ERR_CPU_EXCEPTION,
  K_ERR_SPURIOUS_IRQ,
  K_ERR_STACK_CHK_FAIL,
  K_ERR_KERNEL_OOPS,
  K_ERR_KERNEL_PANIC,
  K_ERR_ARM_MEM_GENERIC = 16,
  K_ERR_ARM_MEM_STACKING,
  K_ERR_ARM_MEM_UNSTACKING,
  K_ERR_ARM_MEM_DATA_ACCESS,
  K_ERR_ARM_MEM_INSTRUCTION_ACCESS,
  K_ERR_ARM_BUS_GENERIC,
  K_ERR_ARM_BUS_STACKING,
  K_ERR_ARM_BUS_UNSTACKING,
  K_ERR_ARM_BUS_PRECISE_DATA_BUS,
  K_ERR_ARM_BUS_IMPRECISE_DATA_BUS,
  K_ERR_ARM_BUS_INSTRUCTION_BUS,
  K_ERR_ARM_USAGE_DIV_0,
  K_ERR_ARM_USAGE_UNALIGNED_ACCESS,
  K_ERR_ARM_USAGE_STACK_OVERFLOW,
  K_ERR_ARM_USAGE_NO_COPROCESSOR,
  K_ERR_ARM_USAGE_ILLEGAL_EXC_RETURN,
  K_ERR_ARM_USAGE_ILLEGAL_EPSR,
  K_ERR_ARM_USAGE_UNDEFINED_INSTRUCTION,
};

typedef struct {
  struct {
    uint32_t r0, r1, r2, r3, r12, lr, pc, xpsr;
  } basic;
} z_arch_esf_t;

void k_sys_fatal_error_handler(unsigned int reason, const z_arch_esf_t *esf);
__attribute__((noreturn)) void k_fatal_halt(unsigned int reason);

#endif /* STANDIN_FATAL_H_ */
