/* The three functions of the C library that the runtime uses, declared here as C11 7.1.4 allows,
 * so that the runtime compiles where there is no <string.h>. Internal to the runtime. */
#ifndef MICROTVM_SRC_MEMORY_H_
#define MICROTVM_SRC_MEMORY_H_

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size_bytes);
void *memset(void *to, int value, size_t size_bytes);
int memcmp(const void *left, const void *right, size_t size_bytes);

#endif /* MICROTVM_SRC_MEMORY_H_ */
