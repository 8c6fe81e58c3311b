/* SPDX-License-Identifier: Apache-2.0 */
/* Two sums of 32 bits in a word of 64, high * 2**32 + low: a multiplication by a small number is one
 * of both. The low one borrows from the high one when it is negative; these functions give it back.
 */
#ifndef TVMGEN_INTEGER_SWAR_H_
#define TVMGEN_INTEGER_SWAR_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes n and n + 4 of eight, without a sign, as a low and a high sum. */
static inline int64_t microtvm_pair(uint64_t bytes, int32_t n) {
  return (int64_t)(bytes >> (8 * n) & UINT64_C(0x000000ff000000ff));
}

/* The same number as both sums. */
static inline int64_t microtvm_twice(int64_t value) {
  return value * INT64_C(0x100000001);
}

static inline int32_t microtvm_low(int64_t pair) {
  return (int32_t)(uint32_t)((uint64_t)pair & UINT32_MAX);
}

static inline int32_t microtvm_above_low(int64_t pair) {
  return (int32_t)((pair - microtvm_low(pair)) >> 32);
}

#ifdef __cplusplus
}
#endif

#endif /* TVMGEN_INTEGER_SWAR_H_ */
