/* SPDX-License-Identifier: Apache-2.0 */
/* Cortex-M: from reset to main, and what an exception leaves behind.
 *
 * Every Cortex-M runs this: the instructions are those of Armv6-M, but for what others have to
 * enable.
 */
#include "entry.h"

  .syntax unified
  .thumb

#define CPACR 0xe000ed88
#define CPACR_FPU (0xf << 20)
#define FRAME_BYTES 32
#define RETURN_PROCESS_STACK (1 << 2) /* of the link register of an exception */

  .text
  .globl _start
  .thumb_func
_start:
  cpsid i
  ldr r0, =ENTRY_STACK_END
  mov sp, r0
#if __ARM_ARCH >= 8 && __ARM_ARCH_ISA_THUMB >= 2
  ldr r0, =ENTRY_STACK_START
  msr msplim, r0
#endif
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
  ldr r0, =CPACR
  ldr r1, =CPACR_FPU
  ldr r2, [r0]
  orrs r2, r1
  str r2, [r0]
  dsb
  isb
#endif

  /* Initial values of variables, and zeros; all in whole words. */
  ldr r0, =microtvm_data_start
  ldr r1, =microtvm_data_load
  ldr r2, =microtvm_data_end
1:
  cmp r0, r2
  bhs 2f
  ldmia r1!, {r3}
  stmia r0!, {r3}
  b 1b
2:
  ldr r0, =microtvm_bss_start
  ldr r2, =microtvm_bss_end
  movs r3, #0
3:
  cmp r0, r2
  bhs 4f
  stmia r0!, {r3}
  b 3b
4:
  bl ENTRY
  bl CpuHalt

  /* Keeps what CpuHandleException reports, in the order of struct CpuException, and starts over
   * with an empty stack: the exception may be that there was none left. The frame is copied from
   * the stack that was in use, where there is one. */
  .globl exception
  .thumb_func
exception:
  ldr r0, =cpu_exception
  mov r1, sp
  mov r2, lr
  movs r3, #RETURN_PROCESS_STACK
  tst r2, r3
  beq 1f
  mrs r1, psp
1:
  stmia r0!, {r1, r2}
  stmia r0!, {r4-r7}
  mov r4, r8
  mov r5, r9
  mov r6, r10
  mov r7, r11
  stmia r0!, {r4-r7}
  ldr r4, =ENTRY_STACK_START
  ldr r5, =ENTRY_STACK_END - FRAME_BYTES
  tst r2, r3
  beq 2f
  ldr r4, =microtvm_stack_start
  ldr r5, =microtvm_stack_end - FRAME_BYTES
2:
  cmp r1, r4
  blo 3f
  cmp r1, r5
  bhi 3f
  ldmia r1!, {r4-r7}
  stmia r0!, {r4-r7}
  ldmia r1!, {r4-r7}
  stmia r0!, {r4-r7}
3:
#if __ARM_ARCH >= 8 && __ARM_ARCH_ISA_THUMB >= 2
  ldr r0, =microtvm_stack_start
  msr msplim, r0
#endif
  ldr r0, =microtvm_stack_end
  mov sp, r0
  bl CpuHandleException
  .ltorg
