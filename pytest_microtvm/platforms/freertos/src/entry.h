/* SPDX-License-Identifier: Apache-2.0 */
/* Where the start-up code goes, and on which stack; for C and assembler. The model's task has
 * the stack of board.h; what runs before and beside the tasks has this one: start-up, and
 * interrupts. */
#ifndef MICROTVM_ENTRY_H_
#define MICROTVM_ENTRY_H_

#define MAIN_STACK_BYTES 1024

#define ENTRY KernelStart
#define ENTRY_STACK_START microtvm_main_stack
#define ENTRY_STACK_END microtvm_main_stack + MAIN_STACK_BYTES

#endif /* MICROTVM_ENTRY_H_ */
