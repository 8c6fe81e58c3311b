/* SPDX-License-Identifier: Apache-2.0 */
/* The packets that the server sends: what a call returned, an exception, the answer to any other
 * request. */
#include "rpc_answers.h"

#include "memory.h"
#include "session.h"

#define COUNT_BYTES 4u
#define TYPE_BYTES 4u
#define WORD_BYTES 8u /* an int, a float, a handle, a size */

_Static_assert(sizeof(uintptr_t) <= WORD_BYTES, "an address travels in 64 bits");

/* Begins the frame that carries a packet of `packet_bytes` bytes, its length field not counted, and
 * writes that field. */
static void BeginMessage(MicroTVMRpcServer *server, uint32_t packet_bytes) {
  if (server->checked) {
    (void)MicroTVMBeginMessage(&server->writer, server->session_id, kMessageChecked,
                               SEQUENCE_BYTES + PACKET_LENGTH_BYTES + packet_bytes + CHECK_BYTES);
    MicroTVMFrameWriterPut(&server->writer, &server->sequence, SEQUENCE_BYTES);
  } else {
    (void)MicroTVMBeginMessage(&server->writer, server->session_id, kMessageNormal,
                               PACKET_LENGTH_BYTES + packet_bytes);
  }
  MicroTVMWriteU64(&server->writer, packet_bytes);
}

void MicroTVMBeginPacket(MicroTVMRpcServer *server, uint32_t code, uint32_t body_bytes) {
  BeginMessage(server, CODE_BYTES + body_bytes);
  MicroTVMWriteU32(&server->writer, code);
}

void MicroTVMEndPacket(MicroTVMRpcServer *server) {
  int32_t status;
  if (server->checked) {
    MicroTVMWriteU32(&server->writer, server->writer.payload_crc);
  }
  status = MicroTVMFrameWriterEnd(&server->writer);
  if (status != kMicroTVMOk) {
    server->link_status = status;
  }
}

uint32_t MicroTVMServerMaxPacketBytes(const MicroTVMRpcServer *server) {
  return (uint32_t)(server->reader.capacity_bytes - MICROTVM_PACKET_OVERHEAD_BYTES);
}

/* Ends a packet whose last value is one word. */
static void EndWithWord(MicroTVMRpcServer *server, uint32_t type, uint64_t bits) {
  MicroTVMWriteU32(&server->writer, type);
  MicroTVMWriteU64(&server->writer, bits);
  MicroTVMEndPacket(server);
}

void MicroTVMAnswerNothing(MicroTVMRpcServer *server) {
  MicroTVMBeginPacket(server, kRpcReturn, COUNT_BYTES + TYPE_BYTES);
  MicroTVMWriteU32(&server->writer, 1);
  MicroTVMWriteU32(&server->writer, kValueNone);
  MicroTVMEndPacket(server);
}

void MicroTVMAnswerHandle(MicroTVMRpcServer *server, uint64_t handle) {
  MicroTVMBeginPacket(server, kRpcReturn, COUNT_BYTES + TYPE_BYTES + WORD_BYTES);
  MicroTVMWriteU32(&server->writer, 1);
  EndWithWord(server, kValueOpaquePointer, handle);
}

/* Begins the answer to a call: the type index of the value first, as a value of its own.
 * `values` counts that one and those to follow, which have `value_bytes` bytes. */
static void BeginReturn(MicroTVMRpcServer *server, uint32_t values, uint32_t type,
                        uint32_t value_bytes) {
  MicroTVMBeginPacket(server, kRpcReturn, COUNT_BYTES + TYPE_BYTES + WORD_BYTES + value_bytes);
  MicroTVMWriteU32(&server->writer, values);
  MicroTVMWriteU32(&server->writer, kValueInt);
  MicroTVMWriteU64(&server->writer, type);
}

/* The returned type need not be that of the value: a function or a module travels as a pointer, a
 * string as the plain array that the client copies. */
static void ReturnWord(MicroTVMRpcServer *server, uint32_t returned_type, uint32_t value_type,
                       uint64_t bits) {
  BeginReturn(server, 2, returned_type, TYPE_BYTES + WORD_BYTES);
  EndWithWord(server, value_type, bits);
}

void MicroTVMReturnNone(MicroTVMRpcServer *server) {
  BeginReturn(server, 2, kValueNone, TYPE_BYTES);
  MicroTVMWriteU32(&server->writer, kValueNone);
  MicroTVMEndPacket(server);
}

void MicroTVMReturnInt(MicroTVMRpcServer *server, int64_t value) {
  ReturnWord(server, kValueInt, kValueInt, (uint64_t)value);
}

void MicroTVMReturnFloat(MicroTVMRpcServer *server, uint64_t bits) {
  ReturnWord(server, kValueFloat, kValueFloat, bits);
}

static void ReturnText(MicroTVMRpcServer *server, uint32_t returned_type, uint32_t value_type,
                       const void *bytes, uint32_t size_bytes) {
  BeginReturn(server, 2, returned_type, TYPE_BYTES + WORD_BYTES + size_bytes);
  MicroTVMWriteU32(&server->writer, value_type);
  MicroTVMWriteU64(&server->writer, size_bytes);
  MicroTVMFrameWriterPut(&server->writer, bytes, size_bytes);
  MicroTVMEndPacket(server);
}

void MicroTVMReturnString(MicroTVMRpcServer *server, const char *value) {
  ReturnText(server, kValueString, kValueRawString, value, (uint32_t)MicroTVMTextLength(value));
}

void MicroTVMReturnBytes(MicroTVMRpcServer *server, const void *bytes, uint32_t size_bytes) {
  ReturnText(server, kValueBytes, kValueByteArray, bytes, size_bytes);
}

uint32_t MicroTVMServerMaxReturnedBytes(const MicroTVMRpcServer *server) {
  return MicroTVMServerMaxPacketBytes(server) -
         (CODE_BYTES + COUNT_BYTES + TYPE_BYTES + WORD_BYTES + TYPE_BYTES + WORD_BYTES);
}

void MicroTVMReturnFunction(MicroTVMRpcServer *server, uint32_t handle) {
  ReturnWord(server, kValueFunction, kValueOpaquePointer, handle);
}

void MicroTVMReturnModule(MicroTVMRpcServer *server, uint32_t handle) {
  ReturnWord(server, kValueModule, kValueOpaquePointer, handle);
}

void MicroTVMReturnTensor(MicroTVMRpcServer *server, const MicroTVMTensorInfo *info,
                          const void *data) {
  const uint32_t dtype =
      info->dtype_code | (uint32_t)info->dtype_bits << 8 | UINT32_C(1) << 16; /* 1 lane */
  /* Address, device, ndim, dtype, shape, byte offset. */
  const uint32_t view_bytes = WORD_BYTES + 8u + 4u + 4u + WORD_BYTES * info->ndim + WORD_BYTES;

  BeginReturn(server, 3, kValueTensor, TYPE_BYTES + view_bytes + TYPE_BYTES + WORD_BYTES);
  MicroTVMWriteU32(&server->writer, kValueTensorView);
  MicroTVMWriteU64(&server->writer, (uint64_t)(uintptr_t)data);
  MicroTVMWriteU32(&server->writer, kDeviceTypeCpu);
  MicroTVMWriteU32(&server->writer, kDeviceIdCpu);
  MicroTVMWriteU32(&server->writer, info->ndim);
  MicroTVMWriteU32(&server->writer, dtype);
  for (uint32_t i = 0; i < info->ndim; ++i) {
    MicroTVMWriteU64(&server->writer, (uint64_t)(int64_t)info->shape[i]);
  }
  MicroTVMWriteU64(&server->writer, 0);
  /* A null handle: the tensor is the executor's, there is nothing for the client to free. */
  EndWithWord(server, kValueOpaquePointer, 0);
}

void MicroTVMReturnView(MicroTVMRpcServer *server, const uint8_t *bytes, size_t size_bytes,
                        uintptr_t address) {
  const size_t kept_bytes = size_bytes - TYPE_BYTES - WORD_BYTES - WORD_BYTES; /* device to shape */
  BeginReturn(server, 3, kValueTensor, (uint32_t)size_bytes + TYPE_BYTES + WORD_BYTES);
  MicroTVMWriteU32(&server->writer, kValueTensorView);
  MicroTVMWriteU64(&server->writer, address);
  MicroTVMFrameWriterPut(&server->writer, bytes + TYPE_BYTES + WORD_BYTES, kept_bytes);
  MicroTVMWriteU64(&server->writer, 0);
  EndWithWord(server, kValueOpaquePointer, 0);
}

void MicroTVMAnswerException(MicroTVMRpcServer *server, const MicroTVMRequest *request,
                             int32_t status) {
  const uint32_t operation_bytes = (uint32_t)MicroTVMTextLength(request->operation);
  MicroTVMText text;
  uint32_t message_bytes;

  MicroTVMTextClear(&text);
  MicroTVMTextAppend(&text, ": ");
  MicroTVMTextAppend(&text, MicroTVMStatusString(status));
  if (request->detail.size_bytes > 0) {
    MicroTVMTextAppend(&text, ": ");
    MicroTVMTextAppendBytes(&text, request->detail.bytes, request->detail.size_bytes);
  }
  MicroTVMTextAppend(&text, " (status ");
  MicroTVMTextAppendNumber(&text, status);
  MicroTVMTextAppend(&text, ")");
  message_bytes = operation_bytes + (uint32_t)text.size_bytes;

  MicroTVMBeginPacket(server, kRpcException, COUNT_BYTES + TYPE_BYTES + WORD_BYTES + message_bytes);
  MicroTVMWriteU32(&server->writer, 1);
  MicroTVMWriteU32(&server->writer, kValueRawString);
  MicroTVMWriteU64(&server->writer, message_bytes);
  MicroTVMFrameWriterPut(&server->writer, request->operation, operation_bytes);
  MicroTVMFrameWriterPut(&server->writer, text.bytes, text.size_bytes);
  MicroTVMEndPacket(server);
}
