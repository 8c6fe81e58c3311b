/* SPDX-License-Identifier: Apache-2.0 */
/* The firmware: the model, served to the host over the board's serial port. */
#include <microtvm/zephyr/compatible.h>
#include <microtvm/zephyr/link.h>

#include <microtvm/cycles.h>
#include <microtvm/platform.h>
#include <microtvm/rpc_server.h>

#include "microtvm_project.h"

/* The main thread's stack, as far as it was unused when it was painted. */
static uint8_t *stack_start;
static size_t stack_bytes;

#define MICROTVM_STACK stack_start
#define MICROTVM_STACK_BYTES stack_bytes

#define MICROTVM_CYCLES MicroTVMCyclesText

#include <microtvm/firmware.h>

/* At the lower end Zephyr keeps what tells it of an overflow: a word, or memory out of reach. */
#define GUARD_BYTES 64u
/* What this function has of the stack itself, and what an ABI lets it use below that. */
#define OWN_BYTES 256u

#if !defined(CONFIG_ARCH_POSIX)
/* Not inlined, since its frame tells how far the stack is used. */
static __attribute__((noinline)) void PaintStack(void) {
  const struct k_thread *const thread = k_current_get();
  const uintptr_t start = ROUND_UP(thread->stack_info.start + GUARD_BYTES, sizeof(uint32_t));
  const uintptr_t here = (uintptr_t)__builtin_frame_address(0) - OWN_BYTES;
  const uint32_t paint = MICROTVM_STACK_PAINT * 0x01010101u;
  /* Volatile: memset would need a part of the stack that is being filled. */
  for (uintptr_t address = start; address < here; address += sizeof(uint32_t)) {
    *(volatile uint32_t *)address = paint;
  }
  stack_start = (uint8_t *)start;
  stack_bytes = thread->stack_info.start + thread->stack_info.size - start;
}
#endif

static void AbortIfError(int32_t status) {
  if (status < 0) {
    TVMPlatformAbort(status);
  }
}

int main(void) {
#if !defined(CONFIG_ARCH_POSIX) /* there, it is the computer's own stack */
  PaintStack();
#endif
  AbortIfError(TVMPlatformInitialize());
  AbortIfError(MicroTVMFirmwareInit(MicroTVMLinkWrite, NULL));
  for (;;) {
    uint8_t received[64];
    const size_t size_bytes = MicroTVMLinkRead(received, sizeof(received));
    AbortIfError(MicroTVMFirmwareLoop(received, size_bytes));
  }
}
