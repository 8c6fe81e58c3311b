/* SPDX-License-Identifier: Apache-2.0 */
/* The header that every message of a session begins with. */
#include "session.h"

int32_t MicroTVMBeginMessage(MicroTVMFrameWriter *writer, uint16_t session_id, uint8_t type,
                             uint32_t body_bytes) {
  const uint8_t header[SESSION_HEADER_BYTES] = {(uint8_t)session_id, (uint8_t)(session_id >> 8),
                                                type};
  const int32_t status = MicroTVMFrameWriterBegin(writer, SESSION_HEADER_BYTES + body_bytes);
  if (status == kMicroTVMOk) {
    MicroTVMFrameWriterPut(writer, header, sizeof(header));
  }
  return status;
}
