/* SPDX-License-Identifier: Apache-2.0 */
/* Cortex-M: the vector table, from reset to main, and what an exception leaves behind.
 *
 * Every Cortex-M runs this: the instructions are those of Armv6-M, but for what others have to
 * enable.
 */
  .syntax unified
  .thumb

#define CPACR 0xe000ed88
#define CPACR_FPU (0xf << 20)
#define FRAME_BYTES 32

  /* Device interrupts stay masked (they end wfi all the same), so that only these exceptions are
   * taken. */
  .section .boot, "a"
  .align 2
  .word microtvm_stack_end
  .word _start
  .rept 14
  .word exception
  .endr

  .text
  .globl _start
  .thumb_func
_start:
  cpsid i
  ldr r0, =microtvm_stack_end
  mov sp, r0
#if __ARM_ARCH >= 8 && __ARM_ARCH_ISA_THUMB >= 2
  ldr r0, =microtvm_stack_start
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
  bl main
  bl CpuHalt

  /* Keeps what CpuHandleException reports, in the order of struct CpuException, and starts over
   * with an empty stack: the exception may be that there was none left. The frame is copied
   * where there is one. */
  .thumb_func
exception:
  ldr r0, =cpu_exception
  mov r1, sp
  mov r2, lr
  stmia r0!, {r1, r2}
  stmia r0!, {r4-r7}
  mov r4, r8
  mov r5, r9
  mov r6, r10
  mov r7, r11
  stmia r0!, {r4-r7}
  ldr r2, =microtvm_stack_start
  cmp r1, r2
  blo 1f
  ldr r2, =microtvm_stack_end - FRAME_BYTES
  cmp r1, r2
  bhi 1f
  ldmia r1!, {r4-r7}
  stmia r0!, {r4-r7}
  ldmia r1!, {r4-r7}
  stmia r0!, {r4-r7}
1:
  ldr r0, =microtvm_stack_end
  mov sp, r0
  bl CpuHandleException
  .ltorg
