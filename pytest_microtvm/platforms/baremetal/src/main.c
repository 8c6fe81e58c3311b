/* SPDX-License-Identifier: Apache-2.0 */
/* The firmware: the model, served to the host over the board's serial port. */
#include <stddef.h>
#include <stdint.h>

#include <microtvm/cycles.h>
#include <microtvm/platform.h>

#include "board.h"
#include "microtvm_project.h"

#define MICROTVM_STACK microtvm_stack_start
#define MICROTVM_STACK_BYTES (size_t)(microtvm_stack_end - microtvm_stack_start)

#define MICROTVM_CYCLES MicroTVMCyclesText

#include <microtvm/firmware.h>

static int32_t WriteToLink(void *context, const uint8_t *data, size_t size_bytes) {
  (void)context;
  UartWrite(data, size_bytes);
  return kMicroTVMOk;
}

static void AbortIfError(int32_t status) {
  if (status < 0) {
    TVMPlatformAbort(status);
  }
}

int main(void) {
  StackPaint();
  AbortIfError(TVMPlatformInitialize());
  AbortIfError(MicroTVMFirmwareInit(WriteToLink, NULL));
  for (;;) {
    uint8_t received[64];
    const size_t size_bytes = UartRead(received, sizeof(received));
    AbortIfError(MicroTVMFirmwareLoop(received, size_bytes));
  }
}
