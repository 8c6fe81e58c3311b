/* SPDX-License-Identifier: Apache-2.0 */
/* The firmware as a program of the host: the model, served over standard input and output. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <microtvm/platform.h>

#include "microtvm_project.h"

#include <microtvm/firmware.h>

static int32_t WriteToLink(void *context, const uint8_t *data, size_t size_bytes) {
  (void)context;
  while (size_bytes > 0) {
    const ssize_t written = write(STDOUT_FILENO, data, size_bytes);
    if (written >= 0) {
      data += written;
      size_bytes -= (size_t)written;
    } else if (errno != EINTR) {
      return kMicroTVMErrorWrite;
    }
  }
  return kMicroTVMOk;
}

static void AbortIfError(int32_t status) {
  if (status < 0) {
    TVMPlatformAbort(status);
  }
}

int main(void) {
  AbortIfError(TVMPlatformInitialize());
  AbortIfError(MicroTVMFirmwareInit(WriteToLink, NULL));
  for (;;) {
    static uint8_t received[4096];
    const ssize_t size_bytes = read(STDIN_FILENO, received, sizeof(received));
    if (size_bytes > 0) {
      AbortIfError(MicroTVMFirmwareLoop(received, (size_t)size_bytes));
    } else if (size_bytes == 0 || errno != EINTR) {
      return EXIT_SUCCESS; /* the host has closed the link */
    }
  }
}
