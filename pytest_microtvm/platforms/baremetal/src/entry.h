/* SPDX-License-Identifier: Apache-2.0 */
/* Where the start-up code of a Cortex-M or RISC-V goes, and on which stack; for C and assembler. */
#ifndef MICROTVM_ENTRY_H_
#define MICROTVM_ENTRY_H_

#define ENTRY main
#define ENTRY_STACK_START microtvm_stack_start
#define ENTRY_STACK_END microtvm_stack_end

#endif /* MICROTVM_ENTRY_H_ */
