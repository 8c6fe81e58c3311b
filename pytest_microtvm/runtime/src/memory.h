/* SPDX-License-Identifier: Apache-2.0 */
/* What the runtime needs of memory. Internal to the runtime. */
#ifndef MICROTVM_SRC_MEMORY_H_
#define MICROTVM_SRC_MEMORY_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <microtvm/model.h>

/* The three functions of the C library that the runtime uses, declared here as C11 7.1.4 allows,
 * so that the runtime compiles where there is no <string.h>. */
void *memcpy(void *restrict to, const void *restrict from, size_t size_bytes);
void *memset(void *to, int value, size_t size_bytes);
int memcmp(const void *left, const void *right, size_t size_bytes);

static inline bool MicroTVMIsAligned(const void *pointer) {
#if defined(__AVR__)
  (void)pointer; /* any address is as good as another */
  return true;
#else
  return ((uintptr_t)pointer % MICROTVM_ALIGNMENT_BYTES) == 0;
#endif
}

/* Whether `size_bytes` bytes from `address` lie wholly in a buffer, which may be null. Written so
 * that no sum can wrap around. */
static inline bool MicroTVMContains(const void *buffer, size_t buffer_bytes, uintptr_t address,
                                    size_t size_bytes) {
  const uintptr_t start = (uintptr_t)buffer;
  return buffer != NULL && address >= start && address - start <= buffer_bytes &&
         size_bytes <= buffer_bytes - (address - start);
}

/* Copies a constant, or a part of it. */
static inline void MicroTVMCopyConstant(void *to, MICROTVM_FLASH_POINTER(void) from,
                                        size_t size_bytes) {
#if defined(__AVR__)
  MICROTVM_FLASH_POINTER(uint8_t) bytes = from;
  for (size_t i = 0; i < size_bytes; ++i) {
    ((uint8_t *)to)[i] = bytes[i];
  }
#else
  memcpy(to, from, size_bytes);
#endif
}

#endif /* MICROTVM_SRC_MEMORY_H_ */
