/* SPDX-License-Identifier: Apache-2.0 */
/* Cortex-R: the vectors, from reset to main, and what an exception leaves behind. All in
 * supervisor mode. */
  .syntax unified
  .arm

#define CPACR_FPU (0xf << 20)
#define FPEXC_ENABLE (1 << 30)
#define CONTROL_HIGH_VECTORS (1 << 13)
#define MODE_SUPERVISOR_MASKED 0xd3

  .section .boot, "ax"
  ldr pc, =_start
  ldr pc, =undefined
  ldr pc, =supervisor_call
  ldr pc, =prefetch_abort
  ldr pc, =data_abort
  ldr pc, =other
  ldr pc, =other
  ldr pc, =other
  .ltorg

  .text
  .globl _start
_start:
  msr cpsr_c, #MODE_SUPERVISOR_MASKED
  ldr sp, =microtvm_stack_end
  mrc p15, 0, r0, c1, c0, 0
  bic r0, r0, #CONTROL_HIGH_VECTORS
  mcr p15, 0, r0, c1, c0, 0
  isb
#ifdef __ARM_FP
  mrc p15, 0, r0, c1, c0, 2
  orr r0, r0, #CPACR_FPU
  mcr p15, 0, r0, c1, c0, 2
  isb
  mov r0, #FPEXC_ENABLE
  vmsr fpexc, r0
#endif

  /* Initial values of variables, and zeros; all in whole words. */
  ldr r0, =microtvm_data_start
  ldr r1, =microtvm_data_load
  ldr r2, =microtvm_data_end
1:
  cmp r0, r2
  ldrlo r3, [r1], #4
  strlo r3, [r0], #4
  blo 1b
  ldr r0, =microtvm_bss_start
  ldr r2, =microtvm_bss_end
  mov r3, #0
2:
  cmp r0, r2
  strlo r3, [r0], #4
  blo 2b
  bl main
  bl CpuHalt

  /* Each exception has a stack pointer and a link register of its own. The former is free to
   * find the place with, where all registers are kept for CpuHandleException in the order of
   * struct CpuException. The stack starts over: the exception may be that there was none left. */
  .macro exception name, number
\name:
  ldr sp, =cpu_exception
  stmia sp, {r0-r12}
  mov r0, #\number
  b keep_rest
  .endm

  exception undefined, 1
  exception supervisor_call, 2
  exception prefetch_abort, 3
  exception data_abort, 4
  exception other, 5

keep_rest:
  mov r1, lr
  mrs r2, spsr
  msr cpsr_c, #MODE_SUPERVISOR_MASKED
  ldr r3, =cpu_exception + 13 * 4
  str sp, [r3], #4
  str lr, [r3], #4
  stmia r3, {r0-r2}
  ldr sp, =microtvm_stack_end
  bl CpuHandleException
  .ltorg

  .section .note.GNU-stack, "", %progbits
