/* SPDX-License-Identifier: Apache-2.0 */
/* Functions over fixed-point numbers that few kernels need, exactly as TensorFlow Lite computes them. */

#ifndef TVMGEN_FIXED_POINT_H_
#define TVMGEN_FIXED_POINT_H_

#include "tvmgen_integer.h"

/* A function of int16 by a table of 513 entries, one for every 128th value from the least on; straight
   lines between them. */
static inline int16_t microtvm_interpolated(int16_t value, const TVMGEN_FLASH int16_t *table) {
  const int32_t place = 256 + (value >> 7);
  const int32_t slope = (int16_t)((int32_t)table[place + 1] - table[place]);
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

/* ln(value): the value of 1 and more with 19 bits after the point, the result with 26. */
static inline int32_t microtvm_log(int32_t value) {
  const int32_t root_of_half = INT32_C(1518500250);
  const int32_t fourth_root_of_half = INT32_C(1805811301);
  const int32_t quarter = INT32_C(1) << 23;
  int32_t headroom = 0;
  while (!(((uint32_t)value << (headroom + 1)) & UINT32_C(0x80000000))) {
    ++headroom;
  }
  /* The value is r * 2**power in two ways, of which one has r between the fourth root of a half and
     that of two. */
  const int32_t scaled = microtvm_saturating_shift(value, headroom);
  const int32_t r_a = microtvm_saturating_shift(microtvm_high_multiply(scaled, root_of_half), 1);
  const int32_t power_a = (11 - headroom) * (INT32_C(1) << 25) + quarter;
  const int32_t lower = microtvm_high_multiply(value, root_of_half);
  int32_t headroom_b = 0;
  while (!(((uint32_t)lower << (headroom_b + 1)) & UINT32_C(0x80000000))) {
    ++headroom_b;
  }
  const int32_t r_b = microtvm_saturating_shift(value, headroom_b);
  const int32_t power_b = (12 - headroom_b) * (INT32_C(1) << 25) - quarter;
  const int32_t r = r_a < r_b ? r_a : r_b;
  const int32_t power = power_a > power_b ? power_a : power_b;
  /* A quotient of polynomials. */
  const int32_t p = (int32_t)(((int64_t)r + fourth_root_of_half + 1) / 2);
  const int32_t q = (r - fourth_root_of_half) * 2;
  const int32_t square = microtvm_high_multiply(q, q);
  const int32_t cube = microtvm_high_multiply(q, square);
  const int32_t numerator =
      microtvm_high_multiply(q, r) + microtvm_high_multiply(cube, INT32_C(117049297));
  const int32_t inner =
      INT32_C(1057819769) + q + microtvm_high_multiply(INT32_C(127690142), square);
  const int32_t denominator =
      microtvm_high_multiply(p, inner) + microtvm_high_multiply(INT32_C(638450708), q);
  const int32_t quotient = microtvm_high_multiply(
      microtvm_rounding_shift(numerator, 6), microtvm_inverse_of_one_plus(denominator));
  const int32_t powers = microtvm_high_multiply(power, INT32_C(1488522236));
  return microtvm_saturating_shift(powers + quotient, 1);
}

/* dividend / divisor * multiplier * 2**(shift - 31), by the reciprocal of the divisor; where that is
   0, what is beyond every output. */
static inline int32_t microtvm_quotient(
    int32_t dividend, int32_t divisor, int32_t multiplier, int32_t shift) {
  if (divisor == 0) {
    return dividend < 0 ? INT32_MIN / 2 : INT32_MAX / 2;
  }
  if (divisor < 0) {
    dividend = -dividend;
    divisor = -divisor;
  }
  int32_t exponent;
  const int32_t inverse = microtvm_reciprocal(divisor, &exponent);
  const uint32_t bits = dividend < 0 ? 2u * (uint32_t)-dividend - 1u : 2u * (uint32_t)dividend;
  int32_t headroom = 0;
  while (headroom < 31 && !((bits << headroom) & UINT32_C(0x80000000))) {
    ++headroom;
  }
  const int32_t scaled = (int32_t)((uint32_t)dividend << headroom);
  const int32_t quotient = microtvm_high_multiply(scaled, inverse);
  const int32_t right = exponent + 19 + headroom - shift;
  const int32_t result = microtvm_high_multiply(quotient, multiplier);
  if (right > 31) {
    /* What TensorFlow Lite's rounded shift makes of more bits than there are. */
    return (result >> (right & 31)) + (result >= 0);
  }
  return right < 0 ? microtvm_saturating_shift(result, -right)
                   : microtvm_rounding_shift(result, right);
}

#endif /* TVMGEN_FIXED_POINT_H_ */
