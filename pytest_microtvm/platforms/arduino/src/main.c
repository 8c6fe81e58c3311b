/* SPDX-License-Identifier: Apache-2.0 */
/* The program: the model, served to the host over the serial port. */
#include "microtvm_model.h"

#include <microtvm/cycles.h>
#include <microtvm/platform.h>
#include <microtvm/rpc_server.h>

#include "microtvm_project.h"
#include "microtvm_sketch.h"

/* The stack, as far as it was unused when it was painted. */
static uint8_t *stack_start;
static size_t stack_bytes;

#define MICROTVM_STACK stack_start
#define MICROTVM_STACK_BYTES stack_bytes

#define MICROTVM_CYCLES MicroTVMCyclesText

#include <microtvm/firmware.h>

/* What a function has of the stack itself, and what an ABI lets it use below that. */
#if defined(__AVR__)
#include <avr/io.h>
#define OWN_BYTES 48u
#else
#define OWN_BYTES 256u
#endif

/* Where the stack may reach down to; null if that is not known. */
static uint8_t *StackLimit(const uint8_t *here) {
#if defined(__AVR__)
  extern uint8_t __heap_start; /* of the linker: behind all variables; nothing uses the heap */
  (void)here;
  return &__heap_start;
#elif MICROTVM_PAINTED_BYTES > 0
  return (uint8_t *)((uintptr_t)here - MICROTVM_PAINTED_BYTES);
#else
  (void)here;
  return NULL;
#endif
}

/* Not inlined, since its frame tells how far the stack is used. */
static __attribute__((noinline)) void PaintStack(void) {
  const uint8_t *const here = (const uint8_t *)__builtin_frame_address(0);
  uint8_t *const start = StackLimit(here);
  if (start == NULL) {
    return;
  }
  /* Volatile: memset would need a part of the stack that is being filled. */
  for (volatile uint8_t *byte = start; (uintptr_t)byte < (uintptr_t)here - OWN_BYTES; ++byte) {
    *byte = MICROTVM_STACK_PAINT;
  }
  stack_start = start;
#if defined(__AVR__)
  stack_bytes = (size_t)((uintptr_t)RAMEND + 1u - (uintptr_t)start);
#else
  stack_bytes = (size_t)(here - start);
#endif
}

static int32_t WriteToLink(void *context, const uint8_t *data, size_t size_bytes) {
  (void)context;
  MicroTVMSend(data, size_bytes);
  return kMicroTVMOk;
}

static void AbortIfError(int32_t status) {
  if (status < 0) {
    TVMPlatformAbort(status);
  }
}

void MicroTVMBegin(void) {
  PaintStack();
  AbortIfError(TVMPlatformInitialize());
  AbortIfError(MicroTVMFirmwareInit(WriteToLink, NULL));
}

void MicroTVMFeed(const uint8_t *data, size_t size_bytes) {
  AbortIfError(MicroTVMFirmwareLoop(data, size_bytes));
}
