/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of a packet of TVM's RPC protocol, byte by byte. */
#include "rpc_packet.h"

#define MAX_LANES 1u
#define BITS_PER_BYTE 8u

void MicroTVMReaderFail(MicroTVMPacketReader *reader, int32_t status) {
  if (reader->status == kMicroTVMOk) {
    reader->status = status;
  }
  reader->left_bytes = 0;
}

const uint8_t *MicroTVMReadBytes(MicroTVMPacketReader *reader, uint64_t size_bytes) {
  const uint8_t *bytes = reader->data;
  if (reader->status != kMicroTVMOk || size_bytes > reader->left_bytes) {
    MicroTVMReaderFail(reader, kMicroTVMErrorPacketShort);
    return NULL;
  }
  reader->data += size_bytes;
  reader->left_bytes -= (size_t)size_bytes;
  return bytes;
}

uint32_t MicroTVMReadU32(MicroTVMPacketReader *reader) {
  const uint8_t *bytes = MicroTVMReadBytes(reader, 4);
  if (bytes == NULL) {
    return 0;
  }
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
         (uint32_t)bytes[3] << 24;
}

uint64_t MicroTVMReadU64(MicroTVMPacketReader *reader) {
  const uint64_t low = MicroTVMReadU32(reader);
  const uint64_t high = MicroTVMReadU32(reader);
  return low | high << 32;
}

void MicroTVMReadTensor(MicroTVMPacketReader *reader, MicroTVMRemoteTensor *tensor) {
  const uint64_t data = MicroTVMReadU64(reader);
  const uint32_t device_type = MicroTVMReadU32(reader);
  const uint32_t device_id = MicroTVMReadU32(reader);
  const uint32_t ndim = MicroTVMReadU32(reader);
  const uint32_t dtype = MicroTVMReadU32(reader); /* code: u8, bits: u8, lanes: u16 */
  const uint32_t bits = (dtype >> 8) & 0xFFu;
  const uint32_t lanes = dtype >> 16;
  uint64_t size_bytes = bits / BITS_PER_BYTE;
  uint64_t byte_offset;

  tensor->address = 0;
  tensor->size_bytes = 0;
  if (device_type != kDeviceTypeCpu || device_id != kDeviceIdCpu || ndim > MICROTVM_MAX_DIMS ||
      bits == 0 || bits % BITS_PER_BYTE != 0 || lanes != MAX_LANES) {
    MicroTVMReaderFail(reader, kMicroTVMErrorTensor);
    return;
  }
  for (uint32_t i = 0; i < ndim; ++i) {
    const uint64_t extent = MicroTVMReadU64(reader);
    /* Both factors are below 2^32, so the product does not wrap around. */
    if (extent > UINT32_MAX || size_bytes * extent > UINT32_MAX) {
      MicroTVMReaderFail(reader, kMicroTVMErrorTensor);
      return;
    }
    size_bytes *= extent;
  }
  byte_offset = MicroTVMReadU64(reader);
  if (data > UINTPTR_MAX || byte_offset > UINTPTR_MAX - data) {
    MicroTVMReaderFail(reader, kMicroTVMErrorAddress);
    return;
  }
  tensor->address = (uintptr_t)(data + byte_offset);
  tensor->size_bytes = (size_t)size_bytes;
}

static void ReadText(MicroTVMPacketReader *reader, MicroTVMValue *value) {
  value->bits = MicroTVMReadU64(reader);
  value->text = MicroTVMReadBytes(reader, value->bits);
}

void MicroTVMReadValue(MicroTVMPacketReader *reader, MicroTVMValue *value) {
  value->type = (int32_t)MicroTVMReadU32(reader);
  value->bits = 0;
  value->text = NULL;
  value->tensor.address = 0;
  value->tensor.size_bytes = 0;
  switch (value->type) {
    case kValueNone:
      return;
    case kValueInt:
    case kValueBool:
    case kValueFloat:
    case kValueOpaquePointer:
    case kValueDataType:
    case kValueDevice:
    case kValueFunction:
    case kValueModule:
      value->bits = MicroTVMReadU64(reader);
      return;
    case kValueTensorView:
      MicroTVMReadTensor(reader, &value->tensor);
      return;
    case kValueRawString:
    case kValueByteArray:
      ReadText(reader, value);
      return;
    case kValueSmallString:
    case kValueSmallBytes:
    case kValueString:
    case kValueBytes: {
      /* The type is said once more, whatever the length, as that of a string or of bytes. */
      const uint32_t type = MicroTVMReadU32(reader);
      if (type != kValueString && type != kValueBytes) {
        MicroTVMReaderFail(reader, kMicroTVMErrorUnknownType);
        return;
      }
      value->type = type == kValueString ? kValueRawString : kValueByteArray;
      ReadText(reader, value);
      return;
    }
    default:
      MicroTVMReaderFail(reader, kMicroTVMErrorUnknownType);
      return;
  }
}

uint32_t MicroTVMReadArguments(MicroTVMPacketReader *reader) {
  const uint32_t count = MicroTVMReadU32(reader);
  MicroTVMPacketReader ahead = *reader;
  MicroTVMValue value;
  /* A made-up count ends at the end of the packet: every value has 4 bytes at least. */
  for (uint32_t i = 0; i < count && ahead.status == kMicroTVMOk; ++i) {
    MicroTVMReadValue(&ahead, &value);
  }
  if (ahead.left_bytes > 0) {
    MicroTVMReaderFail(&ahead, kMicroTVMErrorPacketTrailing);
  }
  if (ahead.status != kMicroTVMOk) {
    MicroTVMReaderFail(reader, ahead.status);
    return 0;
  }
  return count;
}

void MicroTVMWriteU32(MicroTVMFrameWriter *writer, uint32_t value) {
  const uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                            (uint8_t)(value >> 24)};
  MicroTVMFrameWriterPut(writer, bytes, sizeof(bytes));
}

void MicroTVMWriteU64(MicroTVMFrameWriter *writer, uint64_t value) {
  MicroTVMWriteU32(writer, (uint32_t)value);
  MicroTVMWriteU32(writer, (uint32_t)(value >> 32));
}
