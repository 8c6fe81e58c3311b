/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers, by the names that FreeRTOSConfig.h gives them, and the start of the task. */
#include "FreeRTOS.h"

#define SYSTICK_CONTROL 0xe000e010u
#define SYSTICK_RELOAD 0xe000e014u
#define SYSTICK_COUNT_AND_INTERRUPT 7u

void vPortSVCHandler(void);
void xPortPendSVHandler(void);
void xPortSysTickHandler(void);

static volatile TickType_t ticks;

void vPortSVCHandler(void) { configASSERT(0); }

void xPortPendSVHandler(void) {} /* there is no other task to switch to */

void xPortSysTickHandler(void) { ++ticks; }

void StandInRunOn(StackType_t *stack_end, void (*function)(void *), void *context) {
  register void *first __asm__("r0") = context;
  *(volatile uint32_t *)SYSTICK_RELOAD = configCPU_CLOCK_HZ / configTICK_RATE_HZ - 1u;
  *(volatile uint32_t *)SYSTICK_CONTROL = SYSTICK_COUNT_AND_INTERRUPT;
  __asm__ volatile(
      "msr psp, %1\n\t"
      "movs r1, #2\n\t"
      "msr control, r1\n\t"
      "isb\n\t"
      "cpsie i\n\t"
      "bx %2"
      :
      : "r"(first), "r"(stack_end), "r"(function)
      : "r1", "memory");
  __builtin_unreachable();
}
