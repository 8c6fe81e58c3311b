/* SPDX-License-Identifier: Apache-2.0 */
/* Traps of RISC-V: FreeRTOS has interrupts and the call by which a task yields; whatever else comes
 * is a fault, for start.S to keep and report. */
#include "entry.h"

#define CAUSE_CALL_FROM_MACHINE_MODE 11

  .text
  .globl kernel_trap
  .balign 4
kernel_trap:
  csrw mscratch, t0
  csrr t0, mcause
  bltz t0, 1f
  addi t0, t0, -CAUSE_CALL_FROM_MACHINE_MODE
  beqz t0, 1f
  csrr t0, mscratch
  j exception
1:
  csrr t0, mscratch
  j freertos_risc_v_trap_handler

  /* The stack of start-up, and then of interrupts, whose end FreeRTOS knows by this name. */
  .bss
  .globl microtvm_main_stack
  .globl __freertos_irq_stack_top
  .balign 16
microtvm_main_stack:
  .skip MAIN_STACK_BYTES
__freertos_irq_stack_top:

  .section .note.GNU-stack, "", @progbits
