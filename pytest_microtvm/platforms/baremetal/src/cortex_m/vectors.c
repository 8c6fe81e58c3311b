/* SPDX-License-Identifier: Apache-2.0 */
/* The vector table of a Cortex-M. Device interrupts stay masked (they end wfi all the same), so
 * that only the CPU's exceptions are taken. */
#include <stdint.h>

#include "board.h"
#include "entry.h"

typedef void (*Handler)(void);

typedef struct {
  const uint8_t *stack;
  Handler handlers[15]; /* by the number of the exception, from 1 on */
} Vectors;

void _start(void);
void exception(void);

extern const Vectors cpu_vectors;

__attribute__((section(".boot"), used)) const Vectors cpu_vectors = {
    ENTRY_STACK_END,
    {_start, exception, exception, exception, exception, exception, exception, exception, exception,
     exception, exception, exception, exception, exception, exception},
};
