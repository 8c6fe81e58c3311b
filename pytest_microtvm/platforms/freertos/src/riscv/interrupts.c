/* SPDX-License-Identifier: Apache-2.0 */
/* The interrupt of the serial port on RISC-V, by the interrupt controller that cpu.c tells of. */
#include <stdint.h>

#include <FreeRTOS.h>

#include "cpu.h"
#include "kernel.h"
#include "microtvm_board.h"

#define PLIC_CLAIM 0x0c200004u
#define MIE_TIMER (1u << 7)
#define MIE_EXTERNAL (1u << 11)

void kernel_trap(void);
void freertos_risc_v_application_interrupt_handler(void);

void CpuInstallHandlers(void) {
  __asm__ volatile("csrw mtvec, %0" : : "r"((uintptr_t)kernel_trap) : "memory");
}

void CpuAllowUartInterrupt(void) { CpuEnableInterrupt(MICROTVM_UART_INTERRUPT); }

/* Not in the interrupt controller, which would ignore that the handler is done with an interrupt
 * that is not enabled. There is no other device's. */
void CpuHoldUartInterrupt(void) {
  __asm__ volatile("csrc mie, %0" : : "r"((uintptr_t)MIE_EXTERNAL) : "memory");
}

void freertos_risc_v_application_interrupt_handler(void) {
  const uint32_t number = CpuRead32(PLIC_CLAIM);
  if (number == MICROTVM_UART_INTERRUPT) {
    UartHandleInterrupt();
  }
  CpuWrite32(PLIC_CLAIM, number);
}

void CpuHoldTick(void) {
  __asm__ volatile("csrc mie, %0" : : "r"((uintptr_t)MIE_TIMER) : "memory");
}

void CpuAllowTick(void) {
  __asm__ volatile("csrs mie, %0" : : "r"((uintptr_t)MIE_TIMER) : "memory");
}
