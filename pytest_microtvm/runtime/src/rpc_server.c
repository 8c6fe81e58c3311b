#include <microtvm/log.h>
#include <microtvm/rpc_server.h>

#include "memory.h"
#include "rpc_internal.h"

/* The session header before every message: session id (u16), type (u8). */
#define SESSION_HEADER_BYTES 3u
#define SESSION_VERSION 1u

/* A packet's own length field. */
#define LENGTH_BYTES 8u

_Static_assert(SESSION_HEADER_BYTES + LENGTH_BYTES == MICROTVM_PACKET_OVERHEAD_BYTES,
               "the overhead is the session header and the length field");

enum {
  kMessageStartInit = 0x00,
  kMessageStartReply = 0x01,
  kMessageTerminate = 0x02,
  kMessageLog = 0x03,
  kMessageNormal = 0x10,
};

/* ---- messages out ---- */

static int32_t BeginMessage(MicroTVMRpcServer *server, uint16_t session_id, uint8_t type,
                            uint32_t body_bytes) {
  const uint8_t header[SESSION_HEADER_BYTES] = {(uint8_t)session_id, (uint8_t)(session_id >> 8),
                                                type};
  const int32_t status =
      MicroTVMFrameWriterBegin(&server->writer, SESSION_HEADER_BYTES + body_bytes);
  if (status == kMicroTVMOk) {
    MicroTVMFrameWriterPut(&server->writer, header, sizeof(header));
  }
  return status;
}

static int32_t SendMessage(MicroTVMRpcServer *server, uint16_t session_id, uint8_t type,
                           const void *body, size_t body_bytes) {
  const int32_t status = BeginMessage(server, session_id, type, (uint32_t)body_bytes);
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

void MicroTVMServerBeginPacket(MicroTVMRpcServer *server, uint32_t packet_bytes) {
  (void)BeginMessage(server, server->session_id, kMessageNormal, LENGTH_BYTES + packet_bytes);
  MicroTVMWriteU64(&server->writer, packet_bytes);
}

void MicroTVMServerEndPacket(MicroTVMRpcServer *server) {
  const int32_t status = MicroTVMFrameWriterEnd(&server->writer);
  if (status != kMicroTVMOk) {
    server->link_status = status;
  }
}

uint32_t MicroTVMServerMaxPacketBytes(const MicroTVMRpcServer *server) {
  return (uint32_t)(server->reader.capacity_bytes - MICROTVM_PACKET_OVERHEAD_BYTES);
}

/* ---- sessions ---- */

static void EndSession(MicroTVMRpcServer *server) {
  server->session_id = 0;
  server->session_used = false;
  server->initialized = false;
}

/* A host may ask again before the answer reached it. Until the first packet the same question
 * therefore gets the same session; anything else gets a new one, which replaces the old. */
static void StartSession(MicroTVMRpcServer *server, uint16_t session_id, const uint8_t *body,
                         size_t body_bytes) {
  const uint8_t version = SESSION_VERSION;
  const uint8_t host_nonce = (uint8_t)session_id;
  if (host_nonce == 0 || session_id > UINT8_MAX) {
    return;
  }
  if (body_bytes != sizeof(version) || body[0] != version) {
    /* The host reads our version out of this answer; the nonce 0 says that there is no session. */
    server->link_status =
        SendMessage(server, session_id, kMessageStartReply, &version, sizeof(version));
    return;
  }
  if ((uint8_t)server->session_id != host_nonce || server->session_used) {
    EndSession(server);
    server->nonce = (uint8_t)(server->nonce == UINT8_MAX ? 1 : server->nonce + 1);
    server->session_id = (uint16_t)(host_nonce | server->nonce << 8);
  }
  server->shutdown = false;
  server->link_status =
      SendMessage(server, server->session_id, kMessageStartReply, &version, sizeof(version));
}

static bool IsOurs(const MicroTVMRpcServer *server, uint16_t session_id) {
  return server->session_id != 0 && server->session_id == session_id;
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
  if (type == kMessageNormal && IsOurs(server, session_id)) {
    server->session_used = true;
    if (too_large) {
      MicroTVMRefusePacket(server, payload_bytes - MICROTVM_PACKET_OVERHEAD_BYTES);
    } else {
      MicroTVMServePacket(server, payload + SESSION_HEADER_BYTES,
                          payload_bytes - SESSION_HEADER_BYTES);
    }
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
      config->build_id == NULL || config->executor == NULL) {
    return kMicroTVMErrorInvalidArgument;
  }
  if (config->packet_bytes < MICROTVM_MIN_PACKET_BYTES) {
    return kMicroTVMErrorBufferTooSmall;
  }
  memset(server, 0, sizeof(*server));
  MicroTVMFrameReaderInit(&server->reader, config->packet_buffer, config->packet_bytes);
  MicroTVMFrameWriterInit(&server->writer, config->write, config->write_context);
  server->executor = config->executor;
  server->build_id = config->build_id;
  MicroTVMLogSetSink(SendLog, server);
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
