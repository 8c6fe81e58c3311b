/* SPDX-License-Identifier: Apache-2.0 */
/* From the multiboot loader to main: stack, SSE, memory and segments. */

#define MULTIBOOT_MAGIC 0x1BADB002
#define MULTIBOOT_FLAGS 0

#define CR0_MP (1 << 1)
#define CR0_EM (1 << 2)
#define CR0_NE (1 << 5)
#define CR4_OSFXSR (1 << 9)
#define CR4_OSXMMEXCPT (1 << 10)

#define CODE_SEGMENT 8
#define DATA_SEGMENT 16
#define THREAD_SEGMENT 24

  .section .boot, "ax"
  .align 4
  .long MULTIBOOT_MAGIC
  .long MULTIBOOT_FLAGS
  .long -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

  .globl _start
_start:
  cli
  cld
  movl $microtvm_stack_end, %esp
  xorl %ebp, %ebp

  /* x87 for the ABI's return values and the C library, SSE for all else. */
  movl %cr0, %eax
  andl $~CR0_EM, %eax
  orl $(CR0_MP | CR0_NE), %eax
  movl %eax, %cr0
  movl %cr4, %eax
  orl $(CR4_OSFXSR | CR4_OSXMMEXCPT), %eax
  movl %eax, %cr4
  fninit

  /* Initial values of variables, and zeros. */
  movl $microtvm_data_start, %edi
  movl $microtvm_data_load, %esi
  movl $microtvm_data_end, %ecx
  subl %edi, %ecx
  rep movsb
  movl $microtvm_bss_start, %edi
  movl $microtvm_bss_end, %ecx
  subl %edi, %ecx
  shrl $2, %ecx
  xorl %eax, %eax
  rep stosl

  /* The loader's segments reach all memory, but their descriptors may be gone; these are ours. */
  movl $thread_area, %eax
  movl %eax, (%eax)
  movw %ax, gdt_thread + 2
  shrl $16, %eax
  movb %al, gdt_thread + 4
  movb %ah, gdt_thread + 7
  lgdt gdt_pointer
  ljmp $CODE_SEGMENT, $1f
1:
  movl $DATA_SEGMENT, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %fs
  movl %eax, %ss
  movl $THREAD_SEGMENT, %eax
  movl %eax, %gs

  call CpuProtectMemory
  call main
  call CpuHalt

  .data
  .align 8
gdt:
  .quad 0
  .quad 0x00cf9b000000ffff /* code: 4 GiB from 0 */
  .quad 0x00cf93000000ffff /* data: likewise */
gdt_thread:
  .quad 0x00cf93000000ffff /* data from thread_area; the base is filled in above */
gdt_pointer:
  .word gdt_pointer - gdt - 1
  .long gdt

/* Where %gs points: the C library keeps a thread's own data there, above all the stack canary at
 * 20. Its first word is its own address. */
  .bss
  .align 16
thread_area:
  .skip 256

/* Exceptions and interrupts: one stub each, so that the handler learns the number; those for
 * which the CPU pushes no error code push 0. */
  .text
  .macro stub number, has_error_code
  .align 16
  .if \has_error_code == 0
  pushl $0
  .endif
  pushl $\number
  jmp interrupt
  .endm

  .globl cpu_interrupt_stubs
  .align 16
cpu_interrupt_stubs:
  .set i, 0
  .rept 48
  .if (i == 8) || ((i >= 10) && (i <= 14)) || (i == 17) || (i == 21) || (i == 29) || (i == 30)
  stub i, 1
  .else
  stub i, 0
  .endif
  .set i, i + 1
  .endr

interrupt:
  pusha
  movl %esp, %eax /* struct CpuFrame */
  subl $12, %esp
  andl $~15, %esp
  movl %eax, (%esp)
  movl %eax, %ebx
  cld
  call CpuHandleInterrupt
  movl %ebx, %esp
  popa
  addl $8, %esp /* number and error code */
  iret

  .section .note.GNU-stack, "", @progbits
