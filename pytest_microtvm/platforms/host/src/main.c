/* The firmware as a program of the host: the model, served over standard input and output. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <microtvm/aot_executor.h>
#include <microtvm/model.h>
#include <microtvm/platform.h>
#include <microtvm/rpc_server.h>

#include "microtvm_project.h"

extern const MicroTVMModel MICROTVM_MODEL;

/* Arrays of no elements are not C. */
#define AT_LEAST_ONE(bytes) ((bytes) > 0u ? (bytes) : 1u)

static uint8_t io[AT_LEAST_ONE(MICROTVM_IO_BYTES)] __attribute__((aligned(MICROTVM_ALIGNMENT_BYTES)));
static uint8_t workspace[AT_LEAST_ONE(MICROTVM_WORKSPACE_BYTES)]
    __attribute__((aligned(MICROTVM_ALIGNMENT_BYTES)));
static uint8_t packet[MICROTVM_PACKET_BYTES];

static MicroTVMAotExecutor executor;
static MicroTVMRpcServer server;

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
  return 0;
}

static void AbortIfError(int32_t status) {
  if (status < 0) {
    TVMPlatformAbort(status);
  }
}

int main(void) {
  AbortIfError(TVMPlatformInitialize());
  const MicroTVMRpcServerConfig config = {
      .write = WriteToLink,
      .packet_buffer = packet,
      .packet_bytes = sizeof(packet),
      .build_id = MICROTVM_BUILD_ID,
      .executor = &executor,
  };
  AbortIfError(MicroTVMRpcServerInit(&server, &config));
  AbortIfError(MicroTVMAotExecutorInit(&executor, &MICROTVM_MODEL, io, sizeof(io), workspace,
                                       sizeof(workspace)));
  for (;;) {
    static uint8_t received[4096];
    const ssize_t size_bytes = read(STDIN_FILENO, received, sizeof(received));
    if (size_bytes > 0) {
      AbortIfError(MicroTVMRpcServerLoop(&server, received, (size_t)size_bytes));
    } else if (size_bytes == 0 || errno != EINTR) {
      return EXIT_SUCCESS; /* the host has closed the link */
    }
  }
}
