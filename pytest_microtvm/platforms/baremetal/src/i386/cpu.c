/* SPDX-License-Identifier: Apache-2.0 */
/* Memory protection, exceptions and interrupts of the i386. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <microtvm/fault.h>
#include <microtvm/platform.h>

#include "../board.h"
#include "cpu.h"

#define CODE_SEGMENT 8u
#define INTERRUPT_GATE 0x8e00u
#define NUM_STUBS 48u
#define STUB_BYTES 16u
#define PAGE_FAULT 14u
#define FIRST_DEVICE_INTERRUPT 32u
#define FIRST_SLAVE_INTERRUPT 40u

/* The local APIC. */
#define APIC_SPURIOUS_VECTOR 0xfee000f0u
#define APIC_LOCAL_INTERRUPT_0 0xfee00350u
#define APIC_ENABLED (1u << 8)
#define APIC_EXTERNAL 0x700u /* interrupts come from an 8259 */

/* The 8259 interrupt controllers. */
#define PIC_MASTER 0x20u
#define PIC_SLAVE 0xa0u
#define PIC_END_OF_INTERRUPT 0x20u
#define PIC_SLAVE_LINE 2u /* where the slave is connected to the master */
#define PIC_LINES 8u

/* QEMU's isa-debug-exit: writing v ends QEMU with the status 2 v + 1. Real machines have nothing
 * here. */
#define DEBUG_EXIT_PORT 0xf4u
#define DEBUG_EXIT_VALUE 1u

#define PAGE_PRESENT (1u << 0)
#define PAGE_WRITABLE (1u << 1)
#define PAGE_LARGE (1u << 7)
#define PAGE_LARGE_BYTES (4u << 20)
#define NUM_PAGES 1024u
#define CR0_WP (1u << 16)
#define CR0_PG (1u << 31)
#define CR4_PSE (1u << 4)

/* What the stubs of start.S leave on the stack, lowest address first. */
typedef struct {
  uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax;
  uint32_t number, error_code;
  uint32_t eip, cs, eflags;
} CpuFrame;

typedef struct {
  uint16_t limit;
  uint32_t base;
} __attribute__((packed)) CpuTablePointer;
_Static_assert(sizeof(CpuTablePointer) == 6, "as lidt reads it");

extern const uint8_t cpu_interrupt_stubs[];
extern uint8_t microtvm_memory_start[];
extern uint8_t microtvm_flash_start[];
extern uint8_t microtvm_flash_end[];

void CpuProtectMemory(void);
void CpuHandleInterrupt(const CpuFrame *frame);

static uint32_t page_directory[NUM_PAGES] __attribute__((aligned(4096)));
static uint32_t interrupt_table[NUM_STUBS][2] __attribute__((aligned(8)));
static bool handling_exception;

#define Register(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* Maps every address to itself, with two exceptions: the flash is read-only, and nothing is mapped
 * below the board's memory, so that using a null pointer is noticed. Both by the 4 MiB. */
void CpuProtectMemory(void) {
  const uint32_t first = (uint32_t)(uintptr_t)microtvm_memory_start / PAGE_LARGE_BYTES;
  const uint32_t flash_start = (uint32_t)(uintptr_t)microtvm_flash_start;
  const uint32_t flash_end = (uint32_t)(uintptr_t)microtvm_flash_end;
  for (uint32_t i = first; i < NUM_PAGES; ++i) {
    const uint32_t address = i * PAGE_LARGE_BYTES;
    const bool in_flash = address >= flash_start && address + PAGE_LARGE_BYTES <= flash_end;
    page_directory[i] = address | PAGE_LARGE | PAGE_PRESENT | (in_flash ? 0u : PAGE_WRITABLE);
  }
  uint32_t control;
  __asm__ volatile("movl %%cr4, %0" : "=r"(control));
  __asm__ volatile("movl %0, %%cr4" : : "r"(control | CR4_PSE));
  __asm__ volatile("movl %0, %%cr3" : : "r"(page_directory) : "memory");
  __asm__ volatile("movl %%cr0, %0" : "=r"(control));
  __asm__ volatile("movl %0, %%cr0" : : "r"(control | CR0_PG | CR0_WP) : "memory");
}

void CpuInitialize(void) {
  for (uint32_t i = 0; i < NUM_STUBS; ++i) {
    const uint32_t stub = (uint32_t)(uintptr_t)cpu_interrupt_stubs + i * STUB_BYTES;
    interrupt_table[i][0] = (CODE_SEGMENT << 16) | (stub & 0xffffu);
    interrupt_table[i][1] = (stub & 0xffff0000u) | INTERRUPT_GATE;
  }
  const CpuTablePointer pointer = {sizeof(interrupt_table) - 1,
                                   (uint32_t)(uintptr_t)interrupt_table};
  __asm__ volatile("lidt %0" : : "m"(pointer));

  /* Some start-up code leaves the way from the 8259s through the local APIC closed. */
  Register(APIC_SPURIOUS_VECTOR) |= APIC_ENABLED;
  Register(APIC_LOCAL_INTERRUPT_0) = APIC_EXTERNAL;

  /* The PC's start-up code of old puts device interrupts over the exceptions: move them away. */
  CpuWrite8(PIC_MASTER, 0x11); /* initialize, edge-triggered, cascaded; three words follow */
  CpuWrite8(PIC_SLAVE, 0x11);
  CpuWrite8(PIC_MASTER + 1, FIRST_DEVICE_INTERRUPT);
  CpuWrite8(PIC_SLAVE + 1, FIRST_SLAVE_INTERRUPT);
  CpuWrite8(PIC_MASTER + 1, 1u << PIC_SLAVE_LINE);
  CpuWrite8(PIC_SLAVE + 1, PIC_SLAVE_LINE);
  CpuWrite8(PIC_MASTER + 1, 0x01); /* 8086 mode */
  CpuWrite8(PIC_SLAVE + 1, 0x01);
  CpuWrite8(PIC_MASTER + 1, (uint8_t)~(1u << PIC_SLAVE_LINE)); /* masks */
  CpuWrite8(PIC_SLAVE + 1, 0xff);
}

void CpuEnableInterrupt(uint8_t number) {
  const uint16_t port = (number < PIC_LINES ? PIC_MASTER : PIC_SLAVE) + 1;
  CpuWrite8(port, (uint8_t)(CpuRead8(port) & ~(1u << (number % PIC_LINES))));
}

void CpuWaitForInterrupt(void) {
  /* The CPU takes no interrupt between sti and hlt: none can slip through. */
  __asm__ volatile("sti\n\thlt\n\tcli" : : : "memory");
}

void CpuHalt(void) {
  CpuWrite8(DEBUG_EXIT_PORT, DEBUG_EXIT_VALUE);
  for (;;) {
    __asm__ volatile("cli\n\thlt");
  }
}

static const char *ExceptionName(uint32_t number) {
  switch (number) {
    case 0:
      return "division by zero";
    case 6:
      return "invalid instruction";
    case 13:
      return "general protection";
    case 14:
      return "page fault";
    case 16:
    case 19:
      return "floating point";
    default:
      return "exception";
  }
}

void CpuHandleInterrupt(const CpuFrame *frame) {
  if (frame->number >= FIRST_DEVICE_INTERRUPT) {
    /* It has served its purpose, which is to end CpuWaitForInterrupt. */
    if (frame->number >= FIRST_SLAVE_INTERRUPT) {
      CpuWrite8(PIC_SLAVE, PIC_END_OF_INTERRUPT);
    }
    CpuWrite8(PIC_MASTER, PIC_END_OF_INTERRUPT);
    return;
  }
  if (handling_exception) {
    CpuHalt(); /* not even the report of an exception got through */
  }
  handling_exception = true;
  uint32_t address;
  __asm__ volatile("movl %%cr2, %0" : "=r"(address));
  const MicroTVMRegister registers[] = {
      {"pc", frame->eip},
      {"sp",
       (uintptr_t)(&frame->eflags + 1)}, /* an exception within a ring pushes no stack pointer */
      {"exception", frame->number},
      {"error", frame->error_code},
      {"eax", frame->eax},
      {"ebx", frame->ebx},
      {"ecx", frame->ecx},
      {"edx", frame->edx},
      {"esi", frame->esi},
      {"edi", frame->edi},
      {"ebp", frame->ebp},
      {"cs", frame->cs},
      {"eflags", frame->eflags},
      {"address", address}, /* of page faults only */
  };
  const size_t count = sizeof(registers) / sizeof(registers[0]);
  MicroTVMFault(ExceptionName(frame->number), registers,
                frame->number == PAGE_FAULT ? count : count - 1);
}
