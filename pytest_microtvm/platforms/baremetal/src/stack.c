/* SPDX-License-Identifier: Apache-2.0 */
/* Fills the stack with a pattern, so that it can be seen how much of it was used. */
#include <stdint.h>

#include <microtvm/rpc_server.h>

#include "board.h"

#define WORD_PAINT (MICROTVM_STACK_PAINT * 0x01010101u)

/* What this function has of the stack itself, and what an ABI lets it use below that. */
#define OWN_BYTES 256u

/* Not inlined, since its frame tells how far the stack is used. */
__attribute__((noinline)) void StackPaint(void) {
  const uintptr_t end = (uintptr_t)__builtin_frame_address(0) - OWN_BYTES;
  /* Volatile: memset would need a part of the stack that is being filled. */
  for (uintptr_t address = (uintptr_t)microtvm_stack_start; address < end;
       address += sizeof(uint32_t)) {
    *(volatile uint32_t *)address = WORD_PAINT;
  }
}
