/* SPDX-License-Identifier: Apache-2.0 */
/* The interrupt of the serial port on Cortex-M. */
#include <stdint.h>

#include <FreeRTOS.h>

#include "cpu.h"
#include "kernel.h"
#include "microtvm_board.h"

/* NVIC (Architecture Reference Manuals of Armv6-M, Armv7-M and Armv8-M, chapter B3). Armv6-M takes
 * priorities by whole words. */
#define NVIC_SET_ENABLE 0xe000e100u
#define NVIC_CLEAR_ENABLE 0xe000e180u
#define NVIC_SET_PENDING 0xe000e200u
#define NVIC_PRIORITY 0xe000e400u

#define SYSTICK_CONTROL 0xe000e010u
#define SYSTICK_INTERRUPT (1u << 1)

#define WORD (4u * (MICROTVM_UART_INTERRUPT / 32u))
#define BIT (1u << (MICROTVM_UART_INTERRUPT % 32u))
#define PRIORITY_WORD (NVIC_PRIORITY + (MICROTVM_UART_INTERRUPT & ~3u))
#define PRIORITY_SHIFT (8u * (MICROTVM_UART_INTERRUPT % 4u))

/* The vector table is in the flash. */
void CpuInstallHandlers(void) {}

void CpuAllowUartInterrupt(void) {
  const uint32_t others = CpuRead32(PRIORITY_WORD) & ~(0xffu << PRIORITY_SHIFT);
  CpuWrite32(PRIORITY_WORD, others | (uint32_t)configUART_INTERRUPT_PRIORITY << PRIORITY_SHIFT);
  CpuWrite32(NVIC_SET_PENDING + WORD, BIT);
  CpuWrite32(NVIC_SET_ENABLE + WORD, BIT);
}

void CpuHoldUartInterrupt(void) {
  CpuWrite32(NVIC_CLEAR_ENABLE + WORD, BIT);
  __asm__ volatile("dsb\n\tisb" : : : "memory");
}

void CpuHoldTick(void) {
  CpuWrite32(SYSTICK_CONTROL, CpuRead32(SYSTICK_CONTROL) & ~SYSTICK_INTERRUPT);
  __asm__ volatile("dsb\n\tisb" : : : "memory");
}

void CpuAllowTick(void) {
  CpuWrite32(SYSTICK_CONTROL, CpuRead32(SYSTICK_CONTROL) | SYSTICK_INTERRUPT);
}
