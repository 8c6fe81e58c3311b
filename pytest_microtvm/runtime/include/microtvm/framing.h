/* SPDX-License-Identifier: Apache-2.0 */
/* Frames on a byte stream: escape bytes, a length, a payload, a CRC. See docs/protocol.md.
 *
 * The writer escapes and sums as it goes, so that a payload need never stand in memory in one
 * piece. The reader takes bytes in any portion and finds the next frame again after whatever went
 * wrong.
 */
#ifndef MICROTVM_FRAMING_H_
#define MICROTVM_FRAMING_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <microtvm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes all of `data` to the link, waiting as long as that takes. Returns 0 or a negative
 * status. */
typedef int32_t (*MicroTVMWriteFunction)(void *context, const uint8_t *data, size_t size_bytes);

/* Escaped bytes are gathered to portions of this size before they go to the write function. */
#define MICROTVM_FRAME_WRITER_BYTES 64u

typedef struct {
  MicroTVMWriteFunction write;
  void *write_context;
  uint32_t missing_bytes; /* of the payload of the frame being written */
  int32_t status;         /* the first error of the frame being written */
  uint32_t payload_crc;   /* CRC-32 of the payload so far, see MicroTVMCrc32 */
  uint16_t crc;
  bool after_reset; /* nothing was written yet */
  bool in_frame;
  uint8_t used_bytes; /* of the buffer */
  uint8_t buffer[MICROTVM_FRAME_WRITER_BYTES];
} MicroTVMFrameWriter;

/* CRC-32 (IEEE 802.3) of more bytes after those that `crc` is of; 0 for none. */
uint32_t MicroTVMCrc32(uint32_t crc, const void *data, size_t size_bytes);

void MicroTVMFrameWriterInit(MicroTVMFrameWriter *writer, MicroTVMWriteFunction write,
                             void *write_context);

/* Begins a frame whose payload has exactly `payload_bytes` bytes. Returns 0 or
 * kMicroTVMErrorBusy. */
int32_t MicroTVMFrameWriterBegin(MicroTVMFrameWriter *writer, uint32_t payload_bytes);

/* Adds a part of the payload. Errors are kept for MicroTVMFrameWriterEnd. */
void MicroTVMFrameWriterPut(MicroTVMFrameWriter *writer, const void *data, size_t size_bytes);

/* Ends the frame and flushes it. Returns 0, the error of the write function, or
 * kMicroTVMErrorInvalidArgument when the parts were more or less than announced (the far end
 * then drops the frame). */
int32_t MicroTVMFrameWriterEnd(MicroTVMFrameWriter *writer);

/* Gives up the frame that is being written, if any, so that the far end drops it and takes the next
 * one. For who interrupts a writer and will not return to it. */
void MicroTVMFrameWriterAbandon(MicroTVMFrameWriter *writer);

typedef enum {
  kMicroTVMFrameNone,     /* nothing to report yet */
  kMicroTVMFrameComplete, /* a frame with a good CRC: see payload and payload_bytes */
  kMicroTVMFrameTooLarge, /* the same, but only the first capacity_bytes of the payload were kept */
  kMicroTVMFrameBadCrc,
  kMicroTVMFrameBroken, /* cut short by another frame, or an escape that does not exist */
} MicroTVMFrameEvent;

typedef struct {
  uint8_t *payload; /* the caller's buffer */
  size_t capacity_bytes;
  uint32_t payload_bytes; /* as announced by the frame; may be more than capacity_bytes */
  uint32_t field_bytes;   /* received of the field being read */
  uint16_t crc;
  uint16_t received_crc;
  uint8_t field; /* which part of a frame is being read */
  bool escaped;  /* the last byte was the escape byte */
} MicroTVMFrameReader;

void MicroTVMFrameReaderInit(MicroTVMFrameReader *reader, uint8_t *payload, size_t capacity_bytes);

/* Takes one byte of the stream. The payload stays valid until the next call. */
MicroTVMFrameEvent MicroTVMFrameReaderPush(MicroTVMFrameReader *reader, uint8_t byte);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_FRAMING_H_ */
