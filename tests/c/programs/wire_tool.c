/* SPDX-License-Identifier: Apache-2.0 */
/* The decoders of the C runtime on many byte streams: what each of them makes of each.
 *
 * usage: wire_tool CAPACITY_BYTES
 *
 * stdin is a row of streams, each behind its size (u32, little-endian); stdout has one line for
 * each, with one word for each event. See tests/c/agreement.py, which makes the same lines.
 */
#include <stdio.h>
#include <stdlib.h>

#include <microtvm/framing.h>

#include "rpc_packet.h"
#include "session.h"

#define MAX_STREAM_BYTES 65536u

static uint32_t U32(const uint8_t *bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
         (uint32_t)bytes[3] << 24;
}

static int32_t SumBytes(void *context, const uint8_t *data, size_t size_bytes) {
  uint32_t *crc = context;
  *crc = MicroTVMCrc32(*crc, data, size_bytes);
  return 0;
}

/* The CRC-32 of a payload's frame. */
static uint32_t EncodedCrc(const uint8_t *payload, uint32_t size_bytes) {
  MicroTVMFrameWriter writer;
  uint32_t crc = 0;
  MicroTVMFrameWriterInit(&writer, SumBytes, &crc);
  writer.after_reset = false;
  (void)MicroTVMFrameWriterBegin(&writer, size_bytes);
  MicroTVMFrameWriterPut(&writer, payload, size_bytes);
  (void)MicroTVMFrameWriterEnd(&writer);
  return crc;
}

static void PrintValues(MicroTVMPacketReader *reader) {
  const uint32_t count = MicroTVMReadArguments(reader);
  if (reader->status != kMicroTVMOk) {
    printf(",bad");
    return;
  }
  for (uint32_t i = 0; i < count; ++i) {
    MicroTVMValue value;
    MicroTVMReadValue(reader, &value);
    if (value.type == kValueTensorView) {
      printf(",%d/%llx/%llx", value.type, (unsigned long long)value.tensor.address,
             (unsigned long long)value.tensor.size_bytes);
    } else if (value.text != NULL) {
      printf(",%d/%x", value.type, (unsigned)MicroTVMCrc32(0, value.text, (size_t)value.bits));
    } else {
      printf(",%d/%llx", value.type, (unsigned long long)value.bits);
    }
  }
}

static void PrintPacket(const uint8_t *packet, size_t size_bytes) {
  MicroTVMPacketReader reader = {packet, size_bytes, kMicroTVMOk};
  const uint64_t announced_bytes = MicroTVMReadU64(&reader);
  const size_t left_bytes = reader.left_bytes;
  const uint32_t code = MicroTVMReadU32(&reader);
  if (reader.status != kMicroTVMOk || announced_bytes != left_bytes) {
    printf(",bad");
    return;
  }
  printf(",%d", (int)code);
  PrintValues(&reader);
}

static void PrintMessage(const uint8_t *payload, uint32_t size_bytes) {
  if (size_bytes < SESSION_HEADER_BYTES) {
    printf(",short");
    return;
  }
  printf(",%02x%02x.%02x", payload[1], payload[0], payload[2]);
  if (payload[2] == kMessageNormal) {
    PrintPacket(payload + SESSION_HEADER_BYTES, size_bytes - SESSION_HEADER_BYTES);
  } else if (payload[2] == kMessageChecked) {
    const uint32_t header_bytes = SESSION_HEADER_BYTES + SEQUENCE_BYTES;
    if (size_bytes < header_bytes + CHECK_BYTES ||
        MicroTVMCrc32(0, payload, size_bytes - CHECK_BYTES) !=
            U32(payload + size_bytes - CHECK_BYTES)) {
      printf(",damaged");
      return;
    }
    printf(",%u", payload[SESSION_HEADER_BYTES]);
    PrintPacket(payload + header_bytes, size_bytes - header_bytes - CHECK_BYTES);
  }
}

static void PrintStream(const uint8_t *stream, size_t size_bytes, size_t capacity_bytes) {
  MicroTVMFrameReader reader;
  uint8_t *payload = malloc(capacity_bytes); /* so that the sanitizer guards its end */
  MicroTVMFrameReaderInit(&reader, payload, capacity_bytes);
  for (size_t i = 0; i < size_bytes; ++i) {
    switch (MicroTVMFrameReaderPush(&reader, stream[i])) {
      case kMicroTVMFrameNone:
        break;
      case kMicroTVMFrameComplete:
        printf("frame,%x,%x", (unsigned)MicroTVMCrc32(0, payload, reader.payload_bytes),
               (unsigned)EncodedCrc(payload, reader.payload_bytes));
        PrintMessage(payload, reader.payload_bytes);
        printf(" ");
        break;
      case kMicroTVMFrameTooLarge:
        printf("too_large ");
        break;
      case kMicroTVMFrameBadCrc:
        printf("bad_crc ");
        break;
      case kMicroTVMFrameBroken:
        printf("broken ");
        break;
    }
  }
  free(payload);
  printf("\n");
}

int main(int argc, char **argv) {
  static uint8_t stream[MAX_STREAM_BYTES];
  static char output[1 << 16];
  uint8_t size[4];
  const size_t capacity_bytes = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
  if (capacity_bytes == 0) {
    fprintf(stderr, "usage: wire_tool CAPACITY_BYTES\n");
    return 2;
  }
  setvbuf(stdout, output, _IOFBF, sizeof(output));
  while (fread(size, 1, sizeof(size), stdin) == sizeof(size)) {
    const uint32_t size_bytes = U32(size);
    if (size_bytes > sizeof(stream) || fread(stream, 1, size_bytes, stdin) != size_bytes) {
      fprintf(stderr, "a stream of %u bytes\n", (unsigned)size_bytes);
      return 1;
    }
    PrintStream(stream, size_bytes, capacity_bytes);
  }
  return 0;
}
