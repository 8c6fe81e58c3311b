/* SPDX-License-Identifier: Apache-2.0 */
/* The RPC server: serves TVM's RPC protocol 0.8.0 over frames. See docs/protocol.md.
 *
 * All memory is the caller's. The port feeds the bytes it receives to MicroTVMRpcServerLoop;
 * answers leave by the write function before that returns.
 *
 *   static uint8_t packet[512];
 *   static MicroTVMExecutor executor;
 *   static MicroTVMRpcServer server;
 *   ...
 *   MicroTVMAotExecutorInit(&executor, &tvmgen_default_model, io, sizeof(io), workspace,
 *                           sizeof(workspace));
 *   const MicroTVMRpcServerConfig config = {
 *       .write = UartWrite,
 *       .packet_buffer = packet,
 *       .packet_bytes = sizeof(packet),
 *       .build_id = MICROTVM_BUILD_ID,
 *       .executor = &executor,
 *   };
 *   MicroTVMRpcServerInit(&server, &config);
 *   for (;;) {
 *     uint8_t byte = UartRead();
 *     MicroTVMRpcServerLoop(&server, &byte, 1);
 *   }
 */
#ifndef MICROTVM_RPC_SERVER_H_
#define MICROTVM_RPC_SERVER_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <microtvm/executor.h>
#include <microtvm/framing.h>
#include <microtvm/pool.h>
#include <microtvm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The smallest packet buffer a server works with. */
#define MICROTVM_MIN_PACKET_BYTES 256u

/* Bytes of the packet buffer that a packet's own length, the session header and the checks of a
 * checked message take: a packet of the client may have MicroTVMRpcServerConfig.packet_bytes less
 * this, its length field not counted. */
#define MICROTVM_PACKET_OVERHEAD_BYTES 16u

/* How many time evaluators a host may have at a time; a build may define another number. */
#ifndef MICROTVM_MAX_TIME_EVALUATORS
#define MICROTVM_MAX_TIME_EVALUATORS 4
#endif

/* The most arguments of a kernel that the host may call by name; a build may define another
 * number. */
#ifndef MICROTVM_MAX_KERNEL_ARGUMENTS
#define MICROTVM_MAX_KERNEL_ARGUMENTS 16
#endif

/* What a port fills its stack with before it uses it. */
#define MICROTVM_STACK_PAINT 0xa5u

typedef struct {
  MicroTVMWriteFunction write;
  void *write_context;
  uint8_t *packet_buffer; /* holds the payload of one received frame */
  size_t packet_bytes;    /* at least MICROTVM_MIN_PACKET_BYTES */
  const char *build_id;   /* which firmware this is; a constant string */
  /* What runs the model; null: the host calls the kernels one by one. It must be initialized
   * before the first byte is received, but not earlier, so that its errors can be logged. */
  MicroTVMExecutor *executor;
  /* The kernels and constants that the host may name, or null. Not both may be null. */
  const MicroTVMGraph *graph;
  uint8_t *pool; /* what the host may allocate from, aligned; may be null */
  size_t pool_bytes;
  const uint8_t *stack; /* the lower end of a stack filled with MICROTVM_STACK_PAINT; or null */
  size_t stack_bytes;
  const char *(*cycles)(void); /* MicroTVMCyclesText of cycles.h; or null */
} MicroTVMRpcServerConfig;

/* How the host wants a function to be measured. */
typedef struct {
  uint32_t target; /* handle of the function; 0: this place is free */
  uint32_t number;
  uint32_t repeat;
  uint32_t min_repeat_ms;
  uint32_t limit_zero_time_iterations;
} MicroTVMTimeEvaluator;

typedef struct {
  MicroTVMFrameReader reader;
  MicroTVMFrameWriter writer;
  MicroTVMExecutor *executor;
  const MicroTVMGraph *graph;
  MicroTVMPool pool;
  const char *build_id;
  const uint8_t *stack;
  size_t stack_bytes;
  const char *(*cycles)(void);
  int32_t link_status; /* the latest error of the write function */
  uint16_t session_id; /* low byte: the host's nonce, high byte: ours; 0 when there is no session */
  uint8_t nonce;       /* ours in the latest session */
  uint8_t sequence;    /* of the latest packet, in a checked session */
  bool checked;        /* packets of this session travel in checked messages */
  bool session_used;   /* a packet was received in this session */
  bool initialized;    /* the init packet was received in this session */
  bool shutdown;       /* the client said goodbye */
  MicroTVMTimeEvaluator time_evaluators[MICROTVM_MAX_TIME_EVALUATORS];
} MicroTVMRpcServer;

/* Prepares the server, sends the log there, and tells the host that the device has (re)started.
 * The strings and buffers that `config` names must live as long as the server; `config` itself
 * need not. Returns 0, kMicroTVMErrorInvalidArgument, kMicroTVMErrorMisaligned,
 * kMicroTVMErrorBufferTooSmall or the error of the write function. */
int32_t MicroTVMRpcServerInit(MicroTVMRpcServer *server, const MicroTVMRpcServerConfig *config);

/* Takes received bytes, in any portion, and serves every frame that they complete. Returns 0,
 * kMicroTVMShutdown when a session was shut down (a new one may be started all the same), or the
 * negative status of the write function. */
int32_t MicroTVMRpcServerLoop(MicroTVMRpcServer *server, const uint8_t *data, size_t size_bytes);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_RPC_SERVER_H_ */
