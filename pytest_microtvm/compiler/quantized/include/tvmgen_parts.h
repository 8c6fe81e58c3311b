/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of 4 or 2 bits, several in a byte. C99 and C++11. */
#ifndef TVMGEN_PARTS_H_
#define TVMGEN_PARTS_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The signed number in `bits` bits of a byte or word, of which `at` is the lowest. One instruction
   of Armv7 and later; shifts of negative numbers to the right are arithmetic. */
static inline int32_t microtvm_part(int32_t whole, int32_t at, int32_t bits) {
  const int32_t above = 32 - bits;
  return (int32_t)((uint32_t)whole << (above - at)) >> above;
}

#ifdef __cplusplus
}
#endif

#endif /* TVMGEN_PARTS_H_ */
