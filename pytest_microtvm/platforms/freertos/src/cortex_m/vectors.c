/* SPDX-License-Identifier: Apache-2.0 */
/* The vector table of a Cortex-M: the CPU's faults, FreeRTOS's exceptions, and the interrupt of the
 * serial port. No other device interrupts. */
#include <stdint.h>

#include <FreeRTOS.h>

#include "entry.h"
#include "kernel.h"
#include "microtvm_board.h"

#define CPU_HANDLERS 15

typedef void (*Handler)(void);

typedef struct {
  const uint8_t *stack;
  Handler handlers[CPU_HANDLERS + MICROTVM_UART_INTERRUPT + 1u]; /* by number, from 1 on */
} Vectors;

void _start(void);
void exception(void);
void SVC_Handler(void);
void PendSV_Handler(void);
void SysTick_Handler(void);

extern const Vectors cpu_vectors;
extern uint8_t microtvm_main_stack[MAIN_STACK_BYTES];

_Alignas(16) uint8_t microtvm_main_stack[MAIN_STACK_BYTES];

__attribute__((section(".boot"), used)) const Vectors cpu_vectors = {
    ENTRY_STACK_END,
    {
        _start,
        exception, /* non-maskable interrupt */
        exception, /* hard fault, and all faults that are not enabled by themselves */
        exception,
        exception,
        exception,
        exception,
        exception,
        exception,
        exception,
        SVC_Handler,
        exception,
        exception,
        PendSV_Handler,
        SysTick_Handler,
        [CPU_HANDLERS + MICROTVM_UART_INTERRUPT] = UartHandleInterrupt,
    },
};
