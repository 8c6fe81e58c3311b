/* SPDX-License-Identifier: Apache-2.0 */
/* RISC-V, 32 and 64 bits: from reset to main, and what an exception leaves behind. */
#include "entry.h"

#if __riscv_xlen == 64
#define STORE sd
#define BYTES 8
#else
#define STORE sw
#define BYTES 4
#endif

  .option arch, +zicsr

#define MSTATUS_FS_INITIAL (1 << 13)
#define MSTATUS_VS_INITIAL (1 << 9)

  .section .boot, "ax"
  .globl _start
_start:
  csrw mie, zero
  la sp, ENTRY_STACK_END
  la t0, exception
  csrw mtvec, t0
#ifdef __riscv_flen
  li t0, MSTATUS_FS_INITIAL
  csrs mstatus, t0
  csrw fcsr, zero
#endif
#if defined(__riscv_vector) || defined(MICROTVM_RVV)
  li t0, MSTATUS_VS_INITIAL
  csrs mstatus, t0
#endif

  /* Initial values of variables, and zeros; all in whole words. */
  la t0, microtvm_data_start
  la t1, microtvm_data_load
  la t2, microtvm_data_end
1:
  bgeu t0, t2, 2f
  lw t3, 0(t1)
  sw t3, 0(t0)
  addi t1, t1, 4
  addi t0, t0, 4
  j 1b
2:
  la t0, microtvm_bss_start
  la t2, microtvm_bss_end
3:
  bgeu t0, t2, 4f
  sw zero, 0(t0)
  addi t0, t0, 4
  j 3b
4:
  call ENTRY
  call CpuHalt

  /* Keeps all registers for CpuHandleException, and starts over with an empty stack: the
   * exception may be that there was none left. Device interrupts are not taken, so that whatever
   * comes here is a fault. */
  .text
  .globl exception
  .balign 4
exception:
  csrw mscratch, t0
  la t0, cpu_registers
  .irp number, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19
  STORE x\number, (\number * BYTES)(t0)
  .endr
  .irp number, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
  STORE x\number, (\number * BYTES)(t0)
  .endr
  csrr t1, mscratch
  STORE t1, (5 * BYTES)(t0)
  la sp, microtvm_stack_end
  call CpuHandleException

  .section .note.GNU-stack, "", @progbits
