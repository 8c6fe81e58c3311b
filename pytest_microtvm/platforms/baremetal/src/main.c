/* The firmware: the model, served to the host over the board's serial port. */
#include <stddef.h>
#include <stdint.h>

#include <microtvm/aot_executor.h>
#include <microtvm/log.h>
#include <microtvm/model.h>
#include <microtvm/platform.h>
#include <microtvm/rpc_server.h>

#include "board.h"
#include "cpu.h"
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
  UartWrite(data, size_bytes);
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
    uint8_t received[64];
    const size_t size_bytes = UartRead(received, sizeof(received));
    AbortIfError(MicroTVMRpcServerLoop(&server, received, size_bytes));
  }
}
