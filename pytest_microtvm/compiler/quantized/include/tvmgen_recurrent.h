/* SPDX-License-Identifier: Apache-2.0 */
/* Functions over numbers of 16 bits that recurrent layers need, exactly as TensorFlow Lite computes
   them. All values are in the range of int16; "Qn" has n bits before the point, 15 - n after it. */

#ifndef TVMGEN_RECURRENT_H_
#define TVMGEN_RECURRENT_H_

#include "tvmgen_integer.h"

static inline int32_t microtvm_saturate16(int32_t value) {
  return microtvm_clamp(value, INT16_MIN, INT16_MAX);
}

/* a * b / 2**15, rounded to nearest. */
static inline int32_t microtvm_high_multiply16(int32_t a, int32_t b) {
  const int32_t product = a * b;
  const int32_t nudge = product >= 0 ? 16384 : 1 - 16384;
  return microtvm_saturate16((product + nudge) / (INT32_C(1) << 15));
}

/* e**value: Qn of 0 and less, the result in Q0. */
static inline int32_t microtvm_exp16(int32_t value, int32_t bits) {
  /* e**(-1/4), e**(-1/2), e**(-1) and so on. */
  static const int16_t factors[7] = {25520, 19875, 12055, 4435, 600, 11, 0};
  if (value == 0) {
    return INT16_MAX;
  }
  if (bits > 5 && value < -(INT32_C(1) << (20 - bits))) {
    return 0;
  }
  const int32_t quarter = INT32_C(1) << (13 - bits);
  const int32_t part = (value & (quarter - 1)) - quarter;
  /* The first terms of the Taylor series around -1/8. */
  const int32_t x = part * (INT32_C(1) << bits) + 4096;
  const int32_t square = microtvm_high_multiply16(x, x);
  const int32_t cube = microtvm_high_multiply16(square, x);
  const int32_t fourth = microtvm_high_multiply16(square, square);
  const int32_t thirds =
      microtvm_high_multiply16(microtvm_rounding_shift(fourth, 2) + cube, 10923) + square;
  const int32_t sum = x + microtvm_rounding_shift(thirds, 1);
  int32_t result = microtvm_saturate16(28918 + microtvm_high_multiply16(28918, sum));
  const int32_t rest = part - value;
  for (int32_t i = 0; i < 7 && i < bits + 2; ++i) {
    if (rest & (quarter << i)) {
      result = microtvm_high_multiply16(result, factors[i]);
    }
  }
  return result;
}

/* 2 / (1 + value) in Q2, by Newton's method: Q0 of 0 and more. */
static inline int32_t microtvm_two_over_one_plus16(int32_t value) {
  const int32_t half = (value + INT16_MAX + 1) / 2;
  int32_t x = 23130 + microtvm_high_multiply16(half, -15420);
  for (int32_t i = 0; i < 3; ++i) {
    const int32_t rest = 8192 - microtvm_high_multiply16(half, x);
    x += microtvm_saturate16(microtvm_high_multiply16(x, rest) * 4);
  }
  return x;
}

/* 1 / (1 + e**-value): Q3, the result in Q0. */
static inline int32_t microtvm_logistic16(int32_t value) {
  if (value == 0) {
    return 16384;
  }
  const int32_t below = microtvm_exp16(value > 0 ? -value : value, 3);
  const int32_t result = microtvm_saturate16(microtvm_two_over_one_plus16(below) * 2);
  return value > 0 ? result : INT16_MAX - result;
}

/* The hyperbolic tangent: Qn, the result in Q0. */
static inline int32_t microtvm_tanh16(int32_t value, int32_t bits) {
  if (value == 0) {
    return 0;
  }
  const int32_t below = microtvm_exp16(value > 0 ? -value : value, bits + 1);
  const int32_t result =
      microtvm_saturate16((microtvm_two_over_one_plus16(below) - 8192) * 4);
  return value > 0 ? result : -result;
}

/* start + the sum of a[i] * b[i]. */
static inline int32_t microtvm_dot8(
    const int8_t *a, const TVMGEN_FLASH int8_t *b, int32_t count, int32_t start) {
  for (int32_t i = 0; i < count; ++i) {
    start += a[i] * b[i];
  }
  return start;
}

#endif /* TVMGEN_RECURRENT_H_ */
