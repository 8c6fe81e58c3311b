/* SPDX-License-Identifier: Apache-2.0 */
/* The RPC server: bytes in, messages out, sessions begun and ended; what a packet asks for is
 * served by rpc_requests.c. The topmost part of the server:
 *
 *   rpc_server.c     bytes, messages and sessions
 *   rpc_requests.c   one packet: what is asked for
 *   rpc_functions.c  the functions that a client finds by name, and what stands behind a handle
 *   rpc_calls.c      kernels and the model: their arguments, calls and measurements
 *   rpc_memory.c     the memory that a client may touch
 *   rpc_answers.c    packets out
 *   rpc_packet.c     the fields of a packet, byte by byte
 *
 * Each part includes and calls only those below it.
 */
#include <microtvm/fault.h>
#include <microtvm/log.h>
#include <microtvm/rpc_server.h>

#include "memory.h"
#include "rpc_answers.h"
#include "rpc_requests.h"
#include "session.h"
#include "text.h"

_Static_assert(SESSION_HEADER_BYTES + SEQUENCE_BYTES + PACKET_LENGTH_BYTES + CHECK_BYTES ==
                   MICROTVM_PACKET_OVERHEAD_BYTES,
               "the overhead is the session header, the length field and the checks");

/* ---- messages out ---- */

static int32_t SendMessage(MicroTVMRpcServer *server, uint16_t session_id, uint8_t type,
                           const void *body, size_t body_bytes) {
  const int32_t status =
      MicroTVMBeginMessage(&server->writer, session_id, type, (uint32_t)body_bytes);
  if (status != kMicroTVMOk) {
    return status;
  }
  MicroTVMFrameWriterPut(&server->writer, body, body_bytes);
  return MicroTVMFrameWriterEnd(&server->writer);
}

static void SendLog(void *context, const char *text, size_t size_bytes) {
  MicroTVMRpcServer *server = context;
  /* A log line that cannot be sent is lost: there is nobody left to tell. */
  (void)SendMessage(server, 0, kMessageLog, text, size_bytes);
}

static void SendLogString(MicroTVMRpcServer *server, const char *text) {
  SendLog(server, text, MicroTVMTextLength(text));
}

/* ---- sessions ---- */

static void EndSession(MicroTVMRpcServer *server) {
  server->session_id = 0;
  server->session_used = false;
  server->initialized = false;
  memset(server->time_evaluators, 0, sizeof(server->time_evaluators));
  MicroTVMPoolReset(&server->pool);
}

/* A host may ask again before the answer reached it. Until the first packet the same question
 * therefore gets the same session; anything else gets a new one, which replaces the old. */
static void StartSession(MicroTVMRpcServer *server, uint16_t session_id, const uint8_t *body,
                         size_t body_bytes) {
  const uint8_t host_nonce = (uint8_t)session_id;
  /* Features are asked for by a second byte, and granted by one: older hosts send none. */
  const uint8_t features = body_bytes == 2 ? (uint8_t)(body[1] & FEATURE_CHECKED) : 0;
  const uint8_t reply[] = {SESSION_VERSION, features};
  const size_t reply_bytes = body_bytes == 2 ? 2 : 1;
  if (host_nonce == 0 || session_id > UINT8_MAX) {
    return;
  }
  if (body_bytes < 1 || body_bytes > 2 || body[0] != SESSION_VERSION) {
    /* The host reads our version out of this answer; the nonce 0 says that there is no session. */
    server->link_status = SendMessage(server, session_id, kMessageStartReply, reply, 1);
    return;
  }
  if ((uint8_t)server->session_id != host_nonce || server->session_used) {
    EndSession(server);
    server->nonce = (uint8_t)(server->nonce == UINT8_MAX ? 1 : server->nonce + 1);
    server->session_id = (uint16_t)(host_nonce | server->nonce << 8);
  }
  server->checked = (features & FEATURE_CHECKED) != 0;
  server->shutdown = false;
  server->link_status =
      SendMessage(server, server->session_id, kMessageStartReply, reply, reply_bytes);
}

static bool IsOurs(const MicroTVMRpcServer *server, uint16_t session_id) {
  return server->session_id != 0 && server->session_id == session_id;
}

/* Serves a packet without checks. `packet_bytes` may be more than was kept of it. */
static void ServeNormal(MicroTVMRpcServer *server, const uint8_t *packet, uint32_t packet_bytes,
                        bool too_large) {
  server->session_used = true;
  if (too_large) {
    MicroTVMRefusePacket(server, packet_bytes - PACKET_LENGTH_BYTES);
  } else {
    MicroTVMServePacket(server, packet, packet_bytes);
  }
}

/* Serves a packet whose message has its own sum, unless it came a second time. */
static void ServeChecked(MicroTVMRpcServer *server, const uint8_t *payload, uint32_t payload_bytes,
                         bool too_large) {
  const uint32_t header_bytes = SESSION_HEADER_BYTES + SEQUENCE_BYTES;
  if (payload_bytes < header_bytes + CHECK_BYTES) {
    return;
  }
  if (!too_large) {
    const uint32_t summed_bytes = payload_bytes - CHECK_BYTES;
    const uint8_t *check = payload + summed_bytes;
    const uint32_t crc = (uint32_t)check[0] | (uint32_t)check[1] << 8 | (uint32_t)check[2] << 16 |
                         (uint32_t)check[3] << 24;
    if (crc != MicroTVMCrc32(0, payload, summed_bytes)) {
      SendLogString(server, "dropped a packet with a wrong checksum");
      return;
    }
  }
  if (server->session_used && payload[SESSION_HEADER_BYTES] == server->sequence) {
    SendLogString(server, "dropped a packet that came twice");
    return;
  }
  server->sequence = payload[SESSION_HEADER_BYTES];
  ServeNormal(server, payload + header_bytes, payload_bytes - header_bytes - CHECK_BYTES,
              too_large);
}

/* Serves a received message. `payload_bytes` may be more than was kept of it. */
static void ServeMessage(MicroTVMRpcServer *server, bool too_large) {
  const uint8_t *payload = server->reader.payload;
  const uint32_t payload_bytes = server->reader.payload_bytes;
  uint16_t session_id;
  uint8_t type;

  if (payload_bytes < SESSION_HEADER_BYTES) {
    return;
  }
  session_id = (uint16_t)(payload[0] | payload[1] << 8);
  type = payload[2];
  if (type == kMessageNormal && IsOurs(server, session_id) && !server->checked) {
    ServeNormal(server, payload + SESSION_HEADER_BYTES, payload_bytes - SESSION_HEADER_BYTES,
                too_large);
  } else if (type == kMessageChecked && IsOurs(server, session_id) && server->checked) {
    ServeChecked(server, payload, payload_bytes, too_large);
  } else if (type == kMessageTerminate && IsOurs(server, session_id)) {
    EndSession(server);
  } else if (type == kMessageStartInit && !too_large) {
    StartSession(server, session_id, payload + SESSION_HEADER_BYTES,
                 payload_bytes - SESSION_HEADER_BYTES);
  }
  /* Anything else is left over from another session. */
}

int32_t MicroTVMRpcServerInit(MicroTVMRpcServer *server, const MicroTVMRpcServerConfig *config) {
  if (server == NULL || config == NULL || config->write == NULL || config->packet_buffer == NULL ||
      config->build_id == NULL || (config->executor == NULL && config->graph == NULL)) {
    return kMicroTVMErrorInvalidArgument;
  }
  if (!MicroTVMIsAligned(config->pool)) {
    return kMicroTVMErrorMisaligned;
  }
  if (config->packet_bytes < MICROTVM_MIN_PACKET_BYTES) {
    return kMicroTVMErrorBufferTooSmall;
  }
  memset(server, 0, sizeof(*server));
  MicroTVMFrameReaderInit(&server->reader, config->packet_buffer, config->packet_bytes);
  MicroTVMFrameWriterInit(&server->writer, config->write, config->write_context);
  server->executor = config->executor;
  server->graph = config->graph;
  server->build_id = config->build_id;
  server->stack = config->stack;
  server->stack_bytes = config->stack_bytes;
  server->cycles = config->cycles;
  MicroTVMPoolInit(&server->pool, config->pool, config->pool_bytes);
  MicroTVMLogSetSink(SendLog, server);
  MicroTVMFaultSetWriter(&server->writer);
  return SendMessage(server, 0, kMessageTerminate, NULL, 0);
}

int32_t MicroTVMRpcServerLoop(MicroTVMRpcServer *server, const uint8_t *data, size_t size_bytes) {
  server->shutdown = false;
  server->link_status = kMicroTVMOk;
  for (size_t i = 0; i < size_bytes && server->link_status == kMicroTVMOk; ++i) {
    switch (MicroTVMFrameReaderPush(&server->reader, data[i])) {
      case kMicroTVMFrameNone:
        break;
      case kMicroTVMFrameComplete:
        ServeMessage(server, false);
        break;
      case kMicroTVMFrameTooLarge:
        ServeMessage(server, true);
        break;
      case kMicroTVMFrameBadCrc:
        if (server->session_id != 0) {
          SendLogString(server, "dropped a frame with a wrong checksum");
        }
        break;
      case kMicroTVMFrameBroken:
        if (server->session_id != 0) {
          SendLogString(server, "dropped a frame that was cut short");
        }
        break;
    }
  }
  if (server->link_status != kMicroTVMOk) {
    return server->link_status;
  }
  return server->shutdown ? kMicroTVMShutdown : kMicroTVMOk;
}
