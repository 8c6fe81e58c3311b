/* SPDX-License-Identifier: Apache-2.0 */
/* The frames of the link: escapes, lengths and checksums, written and read byte by byte. */
#include <microtvm/framing.h>

enum {
  kNop = 0xFE,
  kStart = 0xFD,
  kEscape = 0xFF,
};

/* The part of a frame that a reader waits for. */
enum {
  kFieldNone,
  kFieldLength,
  kFieldPayload,
  kFieldCrc,
};

#define LENGTH_BYTES 4u
#define CRC_BYTES 2u
#define CRC_START 0xFFFFu

/* One byte more into a CRC-16/CCITT (polynomial 0x1021), without a table. */
static uint16_t CrcUpdate(uint16_t crc, uint8_t byte) {
  uint32_t x = ((uint32_t)crc >> 8) ^ byte;
  x ^= x >> 4;
  return (uint16_t)(((uint32_t)crc << 8) ^ (x << 12) ^ (x << 5) ^ x);
}

/* Four bits at a time: a table for all eight would take 1 KB. */
uint32_t MicroTVMCrc32(uint32_t crc, const void *data, size_t size_bytes) {
  static const uint32_t kTable[16] = {
      0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
      0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
      0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
  };
  const uint8_t *bytes = data;
  crc = ~crc;
  for (size_t i = 0; i < size_bytes; ++i) {
    crc ^= bytes[i];
    crc = crc >> 4 ^ kTable[crc & 0xFu];
    crc = crc >> 4 ^ kTable[crc & 0xFu];
  }
  return ~crc;
}

static void Flush(MicroTVMFrameWriter *writer) {
  if (writer->status == kMicroTVMOk && writer->used_bytes > 0) {
    const int32_t status = writer->write(writer->write_context, writer->buffer, writer->used_bytes);
    writer->status = status < 0 ? status : kMicroTVMOk;
  }
  writer->used_bytes = 0;
}

static void PutRaw(MicroTVMFrameWriter *writer, uint8_t byte) {
  writer->buffer[writer->used_bytes++] = byte;
  if (writer->used_bytes == MICROTVM_FRAME_WRITER_BYTES) {
    Flush(writer);
  }
}

static void PutSummed(MicroTVMFrameWriter *writer, uint8_t byte) {
  writer->crc = CrcUpdate(writer->crc, byte);
  PutRaw(writer, byte);
}

static void PutEscaped(MicroTVMFrameWriter *writer, uint8_t byte) {
  if (byte == kEscape) {
    PutSummed(writer, kEscape);
  }
  PutSummed(writer, byte);
}

void MicroTVMFrameWriterInit(MicroTVMFrameWriter *writer, MicroTVMWriteFunction write,
                             void *write_context) {
  writer->write = write;
  writer->write_context = write_context;
  writer->missing_bytes = 0;
  writer->status = kMicroTVMOk;
  writer->payload_crc = 0;
  writer->crc = 0;
  writer->after_reset = true;
  writer->in_frame = false;
  writer->used_bytes = 0;
}

int32_t MicroTVMFrameWriterBegin(MicroTVMFrameWriter *writer, uint32_t payload_bytes) {
  if (writer->in_frame) {
    return kMicroTVMErrorBusy;
  }
  writer->in_frame = true;
  writer->status = kMicroTVMOk;
  writer->missing_bytes = payload_bytes;
  writer->payload_crc = 0;
  if (writer->after_reset) {
    PutRaw(writer, kNop);
    writer->after_reset = false;
  }
  writer->crc = CRC_START;
  PutSummed(writer, kEscape);
  PutSummed(writer, kStart);
  for (uint32_t i = 0; i < LENGTH_BYTES; ++i) {
    PutEscaped(writer, (uint8_t)(payload_bytes >> (8u * i)));
  }
  return kMicroTVMOk;
}

void MicroTVMFrameWriterPut(MicroTVMFrameWriter *writer, const void *data, size_t size_bytes) {
  const uint8_t *bytes = data;
  if (size_bytes > writer->missing_bytes) {
    writer->status = kMicroTVMErrorInvalidArgument;
    return;
  }
  writer->missing_bytes -= (uint32_t)size_bytes;
  writer->payload_crc = MicroTVMCrc32(writer->payload_crc, data, size_bytes);
  for (size_t i = 0; i < size_bytes; ++i) {
    PutEscaped(writer, bytes[i]);
  }
}

int32_t MicroTVMFrameWriterEnd(MicroTVMFrameWriter *writer) {
  const uint16_t crc = writer->crc;
  if (writer->missing_bytes > 0 && writer->status == kMicroTVMOk) {
    writer->status = kMicroTVMErrorInvalidArgument;
  }
  for (uint32_t i = 0; i < CRC_BYTES; ++i) {
    PutEscaped(writer, (uint8_t)(crc >> (8u * i)));
  }
  Flush(writer);
  writer->in_frame = false;
  return writer->status;
}

void MicroTVMFrameWriterAbandon(MicroTVMFrameWriter *writer) {
  writer->status = kMicroTVMOk;
  writer->used_bytes = 0;
  if (writer->in_frame) {
    /* The frame may have been cut after an escape byte, which the first of these then completes. */
    for (uint32_t i = 0; i < 2u; ++i) {
      PutRaw(writer, kEscape);
      PutRaw(writer, kNop);
    }
    writer->in_frame = false;
  }
}

void MicroTVMFrameReaderInit(MicroTVMFrameReader *reader, uint8_t *payload, size_t capacity_bytes) {
  reader->payload = payload;
  reader->capacity_bytes = capacity_bytes;
  reader->payload_bytes = 0;
  reader->field_bytes = 0;
  reader->crc = 0;
  reader->received_crc = 0;
  reader->field = kFieldNone;
  reader->escaped = false;
}

static void EnterField(MicroTVMFrameReader *reader, uint8_t field) {
  reader->field = field;
  reader->field_bytes = 0;
}

static MicroTVMFrameEvent StartFrame(MicroTVMFrameReader *reader) {
  const bool cut_short = reader->field != kFieldNone;
  EnterField(reader, kFieldLength);
  reader->payload_bytes = 0;
  reader->received_crc = 0;
  reader->crc = CrcUpdate(CrcUpdate(CRC_START, kEscape), kStart);
  return cut_short ? kMicroTVMFrameBroken : kMicroTVMFrameNone;
}

static MicroTVMFrameEvent EndFrame(MicroTVMFrameReader *reader) {
  EnterField(reader, kFieldNone);
  if (reader->received_crc != reader->crc) {
    return kMicroTVMFrameBadCrc;
  }
  return reader->payload_bytes > reader->capacity_bytes ? kMicroTVMFrameTooLarge
                                                        : kMicroTVMFrameComplete;
}

/* Takes one byte of a field, its escape taken off. */
static MicroTVMFrameEvent TakeByte(MicroTVMFrameReader *reader, uint8_t byte) {
  const uint32_t index = reader->field_bytes++;
  switch (reader->field) {
    case kFieldLength:
      reader->payload_bytes |= (uint32_t)byte << (8u * index);
      if (reader->field_bytes == LENGTH_BYTES) {
        EnterField(reader, reader->payload_bytes > 0 ? kFieldPayload : kFieldCrc);
      }
      return kMicroTVMFrameNone;
    case kFieldPayload:
      if (index < reader->capacity_bytes) {
        reader->payload[index] = byte;
      }
      if (reader->field_bytes == reader->payload_bytes) {
        EnterField(reader, kFieldCrc);
      }
      return kMicroTVMFrameNone;
    case kFieldCrc:
      reader->received_crc = (uint16_t)(reader->received_crc | ((uint32_t)byte << (8u * index)));
      return reader->field_bytes == CRC_BYTES ? EndFrame(reader) : kMicroTVMFrameNone;
    default:
      return kMicroTVMFrameNone;
  }
}

MicroTVMFrameEvent MicroTVMFrameReaderPush(MicroTVMFrameReader *reader, uint8_t byte) {
  const bool summed = reader->field == kFieldLength || reader->field == kFieldPayload;
  if (!reader->escaped) {
    if (byte == kEscape) {
      reader->escaped = true;
      return kMicroTVMFrameNone;
    }
  } else {
    reader->escaped = false;
    if (byte == kStart) {
      return StartFrame(reader);
    }
    if (byte == kNop) {
      return kMicroTVMFrameNone;
    }
    if (byte != kEscape) {
      const bool in_frame = reader->field != kFieldNone;
      EnterField(reader, kFieldNone);
      return in_frame ? kMicroTVMFrameBroken : kMicroTVMFrameNone;
    }
    if (summed) {
      reader->crc = CrcUpdate(reader->crc, kEscape);
    }
  }
  if (summed) {
    reader->crc = CrcUpdate(reader->crc, byte);
  }
  return TakeByte(reader, byte);
}
