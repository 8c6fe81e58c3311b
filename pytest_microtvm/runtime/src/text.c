/* SPDX-License-Identifier: Apache-2.0 */
/* Short texts put together without printf. */
#include "text.h"

#include "memory.h"

#define MAX_DIGITS 10u /* of a 32-bit number */

size_t MicroTVMTextLength(const char *string) {
  size_t length = 0;
  while (string[length] != '\0') {
    ++length;
  }
  return length;
}

bool MicroTVMTextEquals(const char *string, const void *bytes, uint64_t size_bytes) {
  const size_t length = MicroTVMTextLength(string);
  return size_bytes == length && memcmp(string, bytes, length) == 0;
}

void MicroTVMTextClear(MicroTVMText *text) { text->size_bytes = 0; }

void MicroTVMTextAppendBytes(MicroTVMText *text, const void *bytes, size_t size_bytes) {
  const size_t left_bytes = sizeof(text->bytes) - text->size_bytes;
  const size_t taken_bytes = size_bytes < left_bytes ? size_bytes : left_bytes;
  if (taken_bytes > 0) {
    memcpy(text->bytes + text->size_bytes, bytes, taken_bytes);
    text->size_bytes += taken_bytes;
  }
}

void MicroTVMTextAppend(MicroTVMText *text, const char *string) {
  MicroTVMTextAppendBytes(text, string, MicroTVMTextLength(string));
}

void MicroTVMTextAppendUnsigned(MicroTVMText *text, uint32_t number) {
  char digits[MAX_DIGITS];
  size_t first = MAX_DIGITS;
  do {
    digits[--first] = (char)('0' + number % 10u);
    number /= 10u;
  } while (number > 0);
  MicroTVMTextAppendBytes(text, digits + first, MAX_DIGITS - first);
}

void MicroTVMTextAppendNumber(MicroTVMText *text, int32_t number) {
  uint32_t magnitude = (uint32_t)number;
  if (number < 0) {
    MicroTVMTextAppend(text, "-");
    magnitude = 0u - magnitude;
  }
  MicroTVMTextAppendUnsigned(text, magnitude);
}
