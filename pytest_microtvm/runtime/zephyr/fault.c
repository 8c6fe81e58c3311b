/* SPDX-License-Identifier: Apache-2.0 */
/* Faults, as Zephyr tells of them, sent to the host. What the CPU's own registers add to that is
 * read here: Zephyr prints it, if at all. */
#include <microtvm/zephyr/compatible.h>

#include <stdbool.h>

#include <microtvm/fault.h>

#define MAX_REGISTERS 24u

typedef struct {
  const char *kind;
  bool is_certain; /* whatever Zephyr's reason is */
  bool has_address;
  uintptr_t address;
  size_t count;
  MicroTVMRegister registers[MAX_REGISTERS];
} Report;

/* An exception has a small stack of its own. */
static Report report;

static void Add(const char *name, uintptr_t value) {
  if (report.count < MAX_REGISTERS) {
    report.registers[report.count].name = name;
    report.registers[report.count].value = value;
    ++report.count;
  }
}

#if defined(CONFIG_CPU_CORTEX_M)

#define BASIC_FRAME_BYTES 32u

#if KERNEL_VERSION_NUMBER >= 0x030300 && defined(CONFIG_ARMV7_M_ARMV8_M_MAINLINE)

#define MEMORY_FAULT_ADDRESS 0xe000ed34u
#define BUS_FAULT_ADDRESS 0xe000ed38u

static void SetAddress(uint32_t reg) {
  report.has_address = true;
  report.address = *(volatile uint32_t *)(uintptr_t)reg;
}

static void DescribeReason(unsigned int reason) {
  switch (reason) {
    case K_ERR_ARM_MEM_DATA_ACCESS:
      SetAddress(MEMORY_FAULT_ADDRESS);
      report.kind = "memory protection";
      break;
    case K_ERR_ARM_MEM_STACKING:
    case K_ERR_ARM_BUS_STACKING:
    case K_ERR_ARM_USAGE_STACK_OVERFLOW:
      report.kind = "stack overflow";
      break;
    case K_ERR_ARM_MEM_GENERIC:
    case K_ERR_ARM_MEM_UNSTACKING:
    case K_ERR_ARM_MEM_INSTRUCTION_ACCESS:
      report.kind = "memory protection";
      break;
    case K_ERR_ARM_BUS_PRECISE_DATA_BUS:
      SetAddress(BUS_FAULT_ADDRESS);
      report.kind = "bus fault";
      break;
    case K_ERR_ARM_BUS_GENERIC:
    case K_ERR_ARM_BUS_UNSTACKING:
    case K_ERR_ARM_BUS_IMPRECISE_DATA_BUS:
    case K_ERR_ARM_BUS_INSTRUCTION_BUS:
      report.kind = "bus fault";
      break;
    case K_ERR_ARM_USAGE_DIV_0:
      report.kind = "division by zero";
      break;
    case K_ERR_ARM_USAGE_UNALIGNED_ACCESS:
      report.kind = "unaligned access";
      break;
    case K_ERR_ARM_USAGE_UNDEFINED_INSTRUCTION:
    case K_ERR_ARM_USAGE_ILLEGAL_EPSR:
    case K_ERR_ARM_USAGE_NO_COPROCESSOR:
    case K_ERR_ARM_USAGE_ILLEGAL_EXC_RETURN:
      report.kind = "invalid instruction";
      break;
    default:
      break;
  }
}

#else

static void DescribeReason(unsigned int reason) { ARG_UNUSED(reason); }

#endif

static void Describe(unsigned int reason, const MicroTVMExceptionFrame *frame) {
  report.kind = "hard fault";
  DescribeReason(reason);
  Add("pc", frame->basic.pc);
#if defined(CONFIG_EXTRA_EXCEPTION_INFO)
  const struct _callee_saved *const saved = frame->extra_info.callee;
  if (saved != NULL) {
    Add("sp", saved->psp + BASIC_FRAME_BYTES);
  }
#endif
  Add("lr", frame->basic.lr);
  Add("psr", frame->basic.xpsr);
  Add("r0", frame->basic.r0);
  Add("r1", frame->basic.r1);
  Add("r2", frame->basic.r2);
  Add("r3", frame->basic.r3);
#if defined(CONFIG_EXTRA_EXCEPTION_INFO)
  if (saved != NULL) {
    Add("r4", saved->v1);
    Add("r5", saved->v2);
    Add("r6", saved->v3);
    Add("r7", saved->v4);
    Add("r8", saved->v5);
    Add("r9", saved->v6);
    Add("r10", saved->v7);
    Add("r11", saved->v8);
  }
#endif
  Add("r12", frame->basic.r12);
}

#elif defined(CONFIG_ARM)

static void Describe(unsigned int reason, const MicroTVMExceptionFrame *frame) {
  report.kind = "access fault";
#if KERNEL_VERSION_NUMBER >= 0x030300
  if (reason == K_ERR_ARM_UNDEFINED_INSTRUCTION) {
    report.kind = "invalid instruction";
  } else
#endif
      if (reason == K_ERR_CPU_EXCEPTION || reason >= 16u) {
    report.has_address = true;
    __asm__ volatile("mrc p15, 0, %0, c6, c0, 0" : "=r"(report.address)); /* DFAR */
  }
  Add("pc", frame->basic.pc);
  Add("lr", frame->basic.lr);
  Add("psr", frame->basic.xpsr);
  Add("r0", frame->basic.r0);
  Add("r1", frame->basic.r1);
  Add("r2", frame->basic.r2);
  Add("r3", frame->basic.r3);
  Add("r12", frame->basic.r12);
}

#elif defined(CONFIG_RISCV)

#define CAUSE_INSTRUCTION_ACCESS 1u
#define CAUSE_INVALID_INSTRUCTION 2u
#define CAUSE_LOAD_MISALIGNED 4u
#define CAUSE_LOAD_ACCESS 5u
#define CAUSE_STORE_MISALIGNED 6u
#define CAUSE_STORE_ACCESS 7u
#define CAUSE_MASK 0xffu

static void Describe(unsigned int reason, const MicroTVMExceptionFrame *frame) {
  unsigned long cause;
  unsigned long value;
  ARG_UNUSED(reason);
  __asm__ volatile("csrr %0, mcause" : "=r"(cause));
  __asm__ volatile("csrr %0, mtval" : "=r"(value));
  report.kind = "CPU exception";
  switch (cause & CAUSE_MASK) {
    case CAUSE_INVALID_INSTRUCTION:
      report.kind = "invalid instruction";
      break;
    case CAUSE_LOAD_MISALIGNED:
    case CAUSE_STORE_MISALIGNED:
      report.kind = "unaligned access";
      break;
    case CAUSE_INSTRUCTION_ACCESS:
    case CAUSE_LOAD_ACCESS:
    case CAUSE_STORE_ACCESS:
      report.kind = "access fault";
      report.has_address = true;
      report.address = value;
      break;
    default:
      break;
  }
  Add("pc", frame->mepc);
#if !defined(CONFIG_USERSPACE)
  Add("sp", (uintptr_t)frame + sizeof(*frame));
#endif
  Add("ra", frame->ra);
  Add("s0", frame->s0);
  Add("a0", frame->a0);
  Add("a1", frame->a1);
  Add("a2", frame->a2);
  Add("a3", frame->a3);
  Add("a4", frame->a4);
  Add("a5", frame->a5);
  Add("t0", frame->t0);
  Add("t1", frame->t1);
  Add("t2", frame->t2);
#if !defined(CONFIG_RISCV_ISA_RV32E)
  Add("a6", frame->a6);
  Add("a7", frame->a7);
  Add("t3", frame->t3);
  Add("t4", frame->t4);
  Add("t5", frame->t5);
  Add("t6", frame->t6);
#endif
  Add("mcause", cause);
  Add("mstatus", frame->mstatus);
}

#elif defined(CONFIG_X86) && !defined(CONFIG_X86_64)

/* Zephyr tells of no vector, and has the same reason for an exception without a handler as for an
 * interrupt. The instruction tells them apart. */
#define OPCODE_PREFIX_16_BITS 0x66u
#define OPCODE_DIVIDE_BYTE 0xf6u
#define OPCODE_DIVIDE 0xf7u
#define OPCODE_TWO_BYTES 0x0fu
#define OPCODE_UNDEFINED 0x0bu
#define MODRM_OPERATION(byte) (((byte) >> 3) & 7u)
#define OPERATION_DIVIDE 6u /* and 7, with a sign */

/* The exception that the instruction itself raises; NULL if it raises none by itself. */
static const char *KindOf(const uint8_t *code) {
  if (code[0] == OPCODE_TWO_BYTES && code[1] == OPCODE_UNDEFINED) {
    return "invalid instruction";
  }
  if (code[0] == OPCODE_PREFIX_16_BITS) {
    ++code;
  }
  const bool divides = (code[0] == OPCODE_DIVIDE_BYTE || code[0] == OPCODE_DIVIDE) &&
                       MODRM_OPERATION(code[1]) >= OPERATION_DIVIDE;
  return divides ? "division by zero" : NULL;
}

static void Describe(unsigned int reason, const MicroTVMExceptionFrame *frame) {
  uint32_t address;
  ARG_UNUSED(reason);
  __asm__ volatile("movl %%cr2, %0" : "=r"(address));
  /* Where there is no code, there is none to look at. */
  const char *const kind =
      address != frame->eip ? KindOf((const uint8_t *)(uintptr_t)frame->eip) : NULL;
  report.kind = kind != NULL ? kind : "page fault";
  report.is_certain = kind != NULL;
  report.has_address = kind == NULL;
  report.address = address;
  Add("pc", frame->eip);
  Add("sp", frame->esp);
  Add("eax", frame->eax);
  Add("ebx", frame->ebx);
  Add("ecx", frame->ecx);
  Add("edx", frame->edx);
  Add("esi", frame->esi);
  Add("edi", frame->edi);
  Add("ebp", frame->ebp);
  Add("eflags", frame->eflags);
  Add("error", frame->errorCode);
}

#else

static void Describe(unsigned int reason, const MicroTVMExceptionFrame *frame) {
  ARG_UNUSED(reason);
  ARG_UNUSED(frame);
  report.kind = "CPU exception";
}

#endif

void k_sys_fatal_error_handler(unsigned int reason, const MicroTVMExceptionFrame *frame) {
  if (frame != NULL) {
    Describe(reason, frame);
  }
  switch (reason) {
    case K_ERR_STACK_CHK_FAIL:
      report.kind = "stack overflow";
      break;
    case K_ERR_SPURIOUS_IRQ:
      if (!report.is_certain) {
        report.kind = "unexpected interrupt";
        report.has_address = false;
      }
      break;
    case K_ERR_KERNEL_OOPS:
    case K_ERR_KERNEL_PANIC:
      report.kind = "kernel panic";
      break;
    default:
      break;
  }
  if (report.has_address) {
    Add("address", report.address);
  }
  MicroTVMFault(report.kind != NULL ? report.kind : "fault", report.registers, report.count);
}
