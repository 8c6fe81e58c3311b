/* SPDX-License-Identifier: Apache-2.0 */
/* The framing code on stdin and stdout.
 *
 * usage: frame_tool encode        stdin is one payload, stdout its frame
 *        frame_tool decode N      stdin is a byte stream, stdout one line per event;
 *                                 a payload holds N bytes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <microtvm/framing.h>

static int32_t WriteStdout(void *context, const uint8_t *data, size_t size_bytes) {
  (void)context;
  return fwrite(data, 1, size_bytes, stdout) == size_bytes ? 0 : kMicroTVMErrorWrite;
}

static int Encode(void) {
  static uint8_t payload[1 << 16];
  const size_t size_bytes = fread(payload, 1, sizeof(payload), stdin);
  const size_t half = size_bytes / 2;
  MicroTVMFrameWriter writer;
  MicroTVMFrameWriterInit(&writer, WriteStdout, NULL);
  writer.after_reset = false;
  if (MicroTVMFrameWriterBegin(&writer, (uint32_t)size_bytes) != kMicroTVMOk) {
    return 1;
  }
  MicroTVMFrameWriterPut(&writer, payload, half);
  MicroTVMFrameWriterPut(&writer, payload + half, size_bytes - half);
  return MicroTVMFrameWriterEnd(&writer) == kMicroTVMOk ? 0 : 1;
}

static void PrintPayload(const char *event, const MicroTVMFrameReader *reader) {
  printf("%s ", event);
  for (uint32_t i = 0; i < reader->payload_bytes; ++i) {
    printf("%02x", reader->payload[i]);
  }
  printf("\n");
}

static int Decode(size_t capacity_bytes) {
  uint8_t *payload = malloc(capacity_bytes);
  MicroTVMFrameReader reader;
  int byte;
  MicroTVMFrameReaderInit(&reader, payload, capacity_bytes);
  while ((byte = getchar()) != EOF) {
    switch (MicroTVMFrameReaderPush(&reader, (uint8_t)byte)) {
      case kMicroTVMFrameNone:
        break;
      case kMicroTVMFrameComplete:
        PrintPayload("frame", &reader);
        break;
      case kMicroTVMFrameTooLarge:
        printf("too_large\n");
        break;
      case kMicroTVMFrameBadCrc:
        printf("bad_crc\n");
        break;
      case kMicroTVMFrameBroken:
        printf("broken\n");
        break;
    }
  }
  free(payload);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "encode") == 0) {
    return Encode();
  }
  if (argc == 3 && strcmp(argv[1], "decode") == 0) {
    return Decode(strtoul(argv[2], NULL, 10));
  }
  fprintf(stderr, "usage: frame_tool encode | frame_tool decode CAPACITY_BYTES\n");
  return 2;
}
