/* SPDX-License-Identifier: Apache-2.0 */
/* Functions over fixed-point numbers that few kernels need, exactly as TensorFlow Lite computes them. */

#ifndef TVMGEN_FIXED_POINT_H_
#define TVMGEN_FIXED_POINT_H_

#include "tvmgen_integer.h"

/* A function of int16 by a table of 513 entries, one for every 128th value from the least on; straight
   lines between them. */
static inline int16_t microtvm_interpolated(int16_t value, const int16_t *table) {
  const int32_t place = 256 + (value >> 7);
  const int32_t slope = (int16_t)(table[place + 1] - table[place]);
  return (int16_t)(table[place] + ((slope * (value & 127) + 64) >> 7));
}

/* 1 / sqrt(value) is the result * 2**(shift - 31), for values of 1 and more; 0 counts as 1. */
static inline int32_t microtvm_inverse_sqrt(int32_t value, int32_t *shift) {
  if (value <= 1) {
    *shift = 0;
    return INT32_MAX;
  }
  int32_t right = 11;
  while (value >= INT32_C(1) << 29) {
    value /= 4;
    ++right;
  }
  while (value < INT32_C(1) << 27) {
    value *= 4;
    --right;
  }
  /* Newton's method; numbers with 28 bits after the point. */
  const int32_t half = microtvm_rounding_shift(value >> 1, 1);
  int32_t x = INT32_C(1) << 28;
  for (int32_t i = 0; i < 5; ++i) {
    const int32_t square = microtvm_high_multiply(x, x);
    const int32_t cube = microtvm_saturating_shift(microtvm_high_multiply(square, x), 6);
    const int32_t three_halves = microtvm_high_multiply(INT32_C(402653184), x);
    x = microtvm_saturating_shift(three_halves - microtvm_high_multiply(half, cube), 3);
  }
  x = microtvm_high_multiply(x, INT32_C(1518500250));
  if (right < 0) {
    x = (int32_t)((uint32_t)x << -right);
    right = 0;
  }
  *shift = -right;
  return x;
}

#endif /* TVMGEN_FIXED_POINT_H_ */
