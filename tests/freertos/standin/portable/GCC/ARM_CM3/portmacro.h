/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STANDIN_PORTMACRO_H_
#define STANDIN_PORTMACRO_H_

#include <stdint.h>

typedef uint32_t StackType_t;
typedef long BaseType_t;
typedef unsigned long UBaseType_t;
typedef uint32_t TickType_t;

#define portMAX_DELAY UINT32_MAX
#define portYIELD_FROM_ISR(wakes_task)               \
  do {                                               \
    if (wakes_task) {                                \
      *(volatile uint32_t *)0xe000ed04u = 1u << 28u; \
    }                                                \
  } while (0)

/* Runs a function on another stack, with interrupts enabled, for good. */
__attribute__((noreturn)) void StandInRunOn(StackType_t *stack_end, void (*function)(void *),
                                            void *context);

#endif /* STANDIN_PORTMACRO_H_ */
