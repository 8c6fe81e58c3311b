/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of a session, see docs/protocol.md. Internal to the runtime. */
#ifndef MICROTVM_SRC_SESSION_H_
#define MICROTVM_SRC_SESSION_H_

#include <stdint.h>

#include <microtvm/framing.h>

/* The session header before every message: session id (u16), type (u8). */
#define SESSION_HEADER_BYTES 3u
#define SESSION_VERSION 1u

enum {
  kMessageStartInit = 0x00,
  kMessageStartReply = 0x01,
  kMessageTerminate = 0x02,
  kMessageLog = 0x03,
  kMessageFault = 0x04,
  kMessageNormal = 0x10,
  kMessageChecked = 0x11, /* a packet with a number and a sum of its own */
};

/* The bit of the second byte of a start that asks for, or grants, checked messages. */
#define FEATURE_CHECKED 0x01u

/* What a checked message has around its packet: sequence (u8), CRC-32 (u32). */
#define SEQUENCE_BYTES 1u
#define CHECK_BYTES 4u

/* Begins the frame of a message whose body has `body_bytes` bytes, and writes its header. Returns
 * 0 or kMicroTVMErrorBusy. */
int32_t MicroTVMBeginMessage(MicroTVMFrameWriter *writer, uint16_t session_id, uint8_t type,
                             uint32_t body_bytes);

#endif /* MICROTVM_SRC_SESSION_H_ */
