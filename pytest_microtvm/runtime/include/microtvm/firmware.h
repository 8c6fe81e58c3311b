/* SPDX-License-Identifier: Apache-2.0 */
/* The memory, the executor and the server of a firmware that has one model.
 *
 * For a port's main.c, and only for it, since everything here is static. What the firmware is made
 * of is said by the macros of firmware_model.h, and by these, which are defined before, too:
 *
 *   MICROTVM_POOL_BYTES       of the memory that the host may allocate from; 0: none
 *   MICROTVM_PACKET_BYTES     of the packet buffer
 *   MICROTVM_BUILD_ID         a string
 *   MICROTVM_STACK, MICROTVM_STACK_BYTES   the painted stack, see rpc_server.h; may be left out
 *   MICROTVM_CYCLES           what tells the CPU's cycles, see cycles.h; may be left out
 */
#ifndef MICROTVM_FIRMWARE_H_
#define MICROTVM_FIRMWARE_H_

#include <microtvm/firmware_model.h>
#include <microtvm/rpc_server.h>

#if MICROTVM_POOL_BYTES > 0
MICROTVM_TENSOR_MEMORY uint8_t microtvm_pool[MICROTVM_POOL_BYTES];
#define MICROTVM_POOL microtvm_pool
#else
#define MICROTVM_POOL NULL
#endif

#ifndef MICROTVM_STACK
#define MICROTVM_STACK NULL
#define MICROTVM_STACK_BYTES 0u
#endif

#ifndef MICROTVM_CYCLES
#define MICROTVM_CYCLES NULL
#endif

static uint8_t microtvm_packet[MICROTVM_PACKET_BYTES];
static MicroTVMRpcServer microtvm_server;

/* Initializes the server and then the executor, whose errors can thus be logged. Returns 0 or the
 * negative status of either. */
static inline int32_t MicroTVMFirmwareInit(MicroTVMWriteFunction write, void *write_context) {
  const MicroTVMRpcServerConfig config = {
      .write = write,
      .write_context = write_context,
      .packet_buffer = microtvm_packet,
      .packet_bytes = sizeof(microtvm_packet),
      .build_id = MICROTVM_BUILD_ID,
      .executor = MICROTVM_SERVED_EXECUTOR,
      .graph = MICROTVM_SERVED_GRAPH,
      .pool = MICROTVM_POOL,
      .pool_bytes = MICROTVM_POOL_BYTES,
      .stack = MICROTVM_STACK,
      .stack_bytes = MICROTVM_STACK_BYTES,
      .cycles = MICROTVM_CYCLES,
  };
  const int32_t status = MicroTVMRpcServerInit(&microtvm_server, &config);
  return status == kMicroTVMOk ? MicroTVMFirmwareInitExecutor() : status;
}

/* MicroTVMRpcServerLoop of the firmware's server. */
static inline int32_t MicroTVMFirmwareLoop(const uint8_t *data, size_t size_bytes) {
  return MicroTVMRpcServerLoop(&microtvm_server, data, size_bytes);
}

#endif /* MICROTVM_FIRMWARE_H_ */
