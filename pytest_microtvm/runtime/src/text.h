/* SPDX-License-Identifier: Apache-2.0 */
/* Short texts put together without printf. Internal to the runtime. */
#ifndef MICROTVM_SRC_TEXT_H_
#define MICROTVM_SRC_TEXT_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MICROTVM_TEXT_BYTES 112u

/* A text of limited length; what does not fit is cut. */
typedef struct {
  size_t size_bytes;
  char bytes[MICROTVM_TEXT_BYTES]; /* not terminated */
} MicroTVMText;

/* Bytes of a terminated string, terminator not counted. */
size_t MicroTVMTextLength(const char *string);

/* Whether `size_bytes` bytes are those of a terminated string. */
bool MicroTVMTextEquals(const char *string, const void *bytes, uint64_t size_bytes);

void MicroTVMTextClear(MicroTVMText *text);
void MicroTVMTextAppend(MicroTVMText *text, const char *string);
void MicroTVMTextAppendBytes(MicroTVMText *text, const void *bytes, size_t size_bytes);
void MicroTVMTextAppendNumber(MicroTVMText *text, int32_t number);
void MicroTVMTextAppendUnsigned(MicroTVMText *text, uint32_t number);

#endif /* MICROTVM_SRC_TEXT_H_ */
