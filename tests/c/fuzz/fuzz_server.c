/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes framing, session and RPC server.
 *
 * The first byte of the input says how the server is made: bit 0 with an executor, bit 1 with a
 * pool, bit 2 in a checked session, bit 3 without init. Then come records of a kind (u8), a size
 * (u8) and as many bytes:
 *
 *   even kinds   an RPC packet without its length field; the harness adds that, and message and
 *                frame around it. "@R" and two numbers (u8 each) and four more bytes in it stand
 *                for an address: a region, and an offset from its start.
 *   kind 1       the payload of a frame
 *   other kinds  bytes of the stream
 *
 * At the end a session is started, which must succeed whatever came before.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <microtvm/aot_executor.h>
#include <microtvm/log.h>
#include <microtvm/rpc_server.h>

#include "fuzz_kernels.h"

#define PACKET_BYTES 320u
#define WORKSPACE_BYTES 64u
#define POOL_BYTES 512u
#define FRAME_BYTES 600u
#define SESSION_HEADER_BYTES 3u
#define PLACEHOLDER_BYTES 8u

typedef struct {
  uint8_t *io;
  uint8_t *workspace;
  uint8_t *pool;
  MicroTVMRpcServer server;
} Device;

static uint32_t timer_starts;
static bool timer_running;
static bool reply_seen; /* to the last start of a session */

tvm_crt_error_t TVMPlatformTimerStart(void) {
  if (timer_running) {
    return kMicroTVMErrorTimer;
  }
  timer_running = true;
  return kMicroTVMOk;
}

tvm_crt_error_t TVMPlatformTimerStop(double *elapsed_seconds) {
  if (!timer_running) {
    return kMicroTVMErrorTimer;
  }
  timer_running = false;
  *elapsed_seconds = ++timer_starts % 3u == 0 ? 0.0 : 0.0005;
  return kMicroTVMOk;
}

size_t TVMPlatformFormatMessage(char *buffer, size_t size_bytes, const char *format,
                                va_list arguments) {
  const int length = vsnprintf(buffer, size_bytes, format, arguments);
  return length < 0 ? 0 : (size_t)length;
}

void TVMPlatformAbort(tvm_crt_error_t code) {
  (void)code;
  abort();
}

static int32_t RunModel(void *const *inputs, void *const *outputs, uint8_t *workspace) {
  void *const args[] = {inputs[0], outputs[0]};
  return FuzzCopy(args, workspace);
}

static const MicroTVMModel kModel = {"fuzzed",        1,        1, kFuzzInputs, kFuzzOutputs,
                                     WORKSPACE_BYTES, RunModel, 0, NULL};
static const MicroTVMGraph kGraph = {
    .json = "{}",
    .json_bytes = 2,
    .num_kernels = FUZZ_NUM_KERNELS,
    .kernels = kFuzzKernels,
    .num_constants = 1,
    .constants = kFuzzConstants,
};

static int32_t TakeOutput(void *context, const uint8_t *data, size_t size_bytes) {
  (void)context;
  /* A start reply is short, and comes in one portion. */
  if (size_bytes > 8 && data[0] == 0xFF && data[1] == 0xFD && data[8] == 1) {
    reply_seen = true;
  }
  for (size_t i = 0; i < size_bytes; ++i) {
    fuzz_sum = (uint8_t)(fuzz_sum + data[i]);
  }
  return 0;
}

/* What a host would send. */

typedef struct {
  uint8_t bytes[2 * FRAME_BYTES + 16];
  size_t size_bytes;
} Wire;

static int32_t PutOnWire(void *context, const uint8_t *data, size_t size_bytes) {
  Wire *wire = context;
  memcpy(wire->bytes + wire->size_bytes, data, size_bytes);
  wire->size_bytes += size_bytes;
  return 0;
}

static void Feed(Device *device, const uint8_t *data, size_t size_bytes) {
  if (MicroTVMRpcServerLoop(&device->server, data, size_bytes) < 0) {
    abort(); /* the link does not fail, so nothing else may */
  }
}

static void FeedFrame(Device *device, const uint8_t *payload, size_t size_bytes) {
  Wire wire = {.size_bytes = 0};
  MicroTVMFrameWriter writer;
  MicroTVMFrameWriterInit(&writer, PutOnWire, &wire);
  (void)MicroTVMFrameWriterBegin(&writer, (uint32_t)size_bytes);
  MicroTVMFrameWriterPut(&writer, payload, size_bytes);
  (void)MicroTVMFrameWriterEnd(&writer);
  Feed(device, wire.bytes, wire.size_bytes);
}

static void StartSession(Device *device, bool checked) {
  const uint8_t start[] = {0x2A, 0, 0x00, 1, 1};
  static const uint8_t kNops[] = {0xFF, 0xFE, 0xFF, 0xFE};
  reply_seen = false;
  Feed(device, kNops, sizeof(kNops));
  FeedFrame(device, start, checked ? 5 : 4);
  if (!reply_seen) {
    abort();
  }
}

static void PutU64(uint8_t *bytes, uint64_t value) {
  for (uint32_t i = 0; i < 8u; ++i) {
    bytes[i] = (uint8_t)(value >> (8u * i));
  }
}

/* Sends a packet in the session that there is. */
static void FeedPacket(Device *device, const uint8_t *body, size_t body_bytes) {
  const MicroTVMRpcServer *server = &device->server;
  uint8_t payload[FRAME_BYTES] = {(uint8_t)server->session_id, (uint8_t)(server->session_id >> 8),
                                  server->checked ? 0x11u : 0x10u};
  size_t size_bytes = SESSION_HEADER_BYTES;
  if (server->checked) {
    payload[size_bytes++] = (uint8_t)(server->sequence + 1u);
  }
  PutU64(payload + size_bytes, body_bytes);
  size_bytes += 8u;
  for (size_t i = 0; i < body_bytes; ++i) {
    payload[size_bytes + i] = body[i];
  }
  for (size_t i = 0; i + PLACEHOLDER_BYTES <= body_bytes; ++i) {
    if (body[i] == '@' && body[i + 1] == 'R') {
      const uint8_t *const regions[] = {device->io, device->io + FUZZ_TENSOR_BYTES,
                                        device->workspace, device->pool, (const uint8_t *)kFuzzOne};
      const uint8_t *region = regions[body[i + 2] % 5u];
      PutU64(payload + size_bytes + i, (uint64_t)(uintptr_t)region + body[i + 3]);
      i += PLACEHOLDER_BYTES - 1;
    }
  }
  size_bytes += body_bytes;
  if (server->checked) {
    const uint32_t crc = MicroTVMCrc32(0, payload, size_bytes);
    for (uint32_t i = 0; i < 4u; ++i) {
      payload[size_bytes++] = (uint8_t)(crc >> (8u * i));
    }
  }
  FeedFrame(device, payload, size_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
  static const uint8_t kInit[] = {2, 0,   0,   0,   5,   0,   0, 0, 0, 0, 0,
                                  0, '0', '.', '8', '.', '0', 0, 0, 0, 0};
  MicroTVMExecutor executor;
  if (size_bytes < 1) {
    return 0;
  }
  /* From the heap, so that the sanitizer guards their ends. */
  uint8_t *packet = malloc(PACKET_BYTES);
  Device device = {.io = malloc(2 * FUZZ_TENSOR_BYTES),
                   .workspace = malloc(WORKSPACE_BYTES),
                   .pool = malloc(POOL_BYTES)};
  const uint8_t flags = data[0];
  const MicroTVMRpcServerConfig config = {
      .write = TakeOutput,
      .packet_buffer = packet,
      .packet_bytes = PACKET_BYTES,
      .build_id = "fuzzed",
      .executor = (flags & 1u) != 0 ? &executor : NULL,
      .graph = &kGraph,
      .pool = (flags & 2u) != 0 ? device.pool : NULL,
      .pool_bytes = POOL_BYTES,
  };
  fuzz_calls = 0;
  timer_starts = 0;
  timer_running = false;
  if (MicroTVMAotExecutorInit(&executor, &kModel, device.io, 2 * FUZZ_TENSOR_BYTES,
                              device.workspace, WORKSPACE_BYTES) != kMicroTVMOk ||
      MicroTVMRpcServerInit(&device.server, &config) != kMicroTVMOk) {
    abort();
  }
  StartSession(&device, (flags & 4u) != 0);
  if ((flags & 8u) == 0) {
    FeedPacket(&device, kInit, sizeof(kInit));
  }
  size_t position = 1;
  while (position + 2 <= size_bytes) {
    const uint8_t kind = data[position];
    const size_t left_bytes = size_bytes - position - 2;
    const size_t record_bytes = data[position + 1] < left_bytes ? data[position + 1] : left_bytes;
    const uint8_t *record = data + position + 2;
    if (kind % 2u == 0) {
      FeedPacket(&device, record, record_bytes);
    } else if (kind == 1) {
      FeedFrame(&device, record, record_bytes);
    } else {
      Feed(&device, record, record_bytes);
    }
    if (timer_running) {
      abort();
    }
    position += 2 + record_bytes;
  }
  StartSession(&device, false);
  MicroTVMLogSetSink(NULL, NULL);
  free(packet);
  free(device.io);
  free(device.workspace);
  free(device.pool);
  return 0;
}
