/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed-point arithmetic of integer kernels, to the bit as TensorFlow Lite's reference kernels compute
   it; what rounds to even is for models of ONNX and PyTorch, which are defined so. C99 and C++11; shifts of negative numbers to the right are arithmetic, as in every compiler for
   the machines this runs on. */
#ifndef TVMGEN_INTEGER_H_
#define TVMGEN_INTEGER_H_

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Where constants are, see tvmgen_NAME_internal.h. */
#ifndef TVMGEN_FLASH
#define TVMGEN_FLASH
#endif

/* `value` between `minimum` and `maximum`. */
static inline int32_t microtvm_clamp(int32_t value, int32_t minimum, int32_t maximum) {
  value = value < minimum ? minimum : value;
  return value > maximum ? maximum : value;
}

/* `count` bytes, as memcpy: C libraries for small devices with RISC-V copy them one by one. */
static inline void microtvm_copy(int8_t *to, const int8_t *from, int32_t count) {
#if defined(__riscv) && defined(__GNUC__)
  typedef uintptr_t __attribute__((may_alias)) microtvm_word;
  const int32_t size = (int32_t)sizeof(microtvm_word);
  if ((((uintptr_t)to | (uintptr_t)from) & (sizeof(microtvm_word) - 1u)) == 0) {
    for (; count >= 4 * size; count -= 4 * size, to += 4 * size, from += 4 * size) {
      const microtvm_word *words = (const microtvm_word *)(const void *)from;
      const microtvm_word w0 = words[0], w1 = words[1], w2 = words[2], w3 = words[3];
      microtvm_word *at = (microtvm_word *)(void *)to;
      at[0] = w0;
      at[1] = w1;
      at[2] = w2;
      at[3] = w3;
    }
  }
  for (; count > 0; --count) {
    int8_t value = *from++;
    __asm__("" : "+r"(value)); /* no call of memcpy */
    *to++ = value;
  }
#else
  memcpy(to, from, (size_t)count);
#endif
}

/* a * b / 2**31, rounded to nearest, ties up. Not both may be INT32_MIN. */
static inline int32_t microtvm_high_multiply(int32_t a, int32_t b) {
  return (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

/* value / 2**exponent, rounded to nearest, ties away from zero. exponent is 0 to 31. */
static inline int32_t microtvm_rounding_shift(int32_t value, int32_t exponent) {
  const int32_t mask = (int32_t)((UINT32_C(1) << exponent) - 1u);
  const int32_t threshold = (mask >> 1) + (value < 0 ? 1 : 0);
  return (value >> exponent) + ((value & mask) > threshold ? 1 : 0);
}

/* value * multiplier * 2**(shift - 31), rounded twice: after the multiplication and after a shift to
   the right. A shift to the left comes before the multiplication. */
static inline int32_t microtvm_requantize(int32_t value, int32_t multiplier, int32_t shift) {
  if (shift > 0) {
    return microtvm_high_multiply((int32_t)((uint32_t)value << shift), multiplier);
  }
  return microtvm_rounding_shift(microtvm_high_multiply(value, multiplier), -shift);
}

/* The same, rounded once, ties away from zero. shift is at most 30. */
static inline int32_t microtvm_requantize_single(int32_t value, int32_t multiplier, int32_t shift) {
  const int32_t total = 31 - shift;
  const int64_t rounding = (INT64_C(1) << (total - 1)) - (value < 0 ? 1 : 0);
  return (int32_t)(((int64_t)value * multiplier + rounding) >> total);
}

/* The same for sums of 48 bits, with the upper 16 bits of the multiplier; ties up. shift is at most
   14. */
static inline int32_t microtvm_requantize_wide(int64_t value, int32_t multiplier, int32_t shift) {
  const int32_t reduced =
      multiplier < INT32_C(0x7fff0000) ? (multiplier + (INT32_C(1) << 15)) >> 16 : 0x7fff;
  const int32_t total = 15 - shift;
  return (int32_t)((value * reduced + (INT64_C(1) << (total - 1))) >> total);
}

/* value * scale rounded to the nearest integer, ties away from zero, held in 31 bits: a zero point
   can be added to it. */
static inline int32_t microtvm_requantize_real(int64_t value, double scale) {
  const double limit = 1073741823.0;
  const double scaled = (double)value * scale;
  return (int32_t)round(scaled > limit ? limit : scaled < -limit ? -limit : scaled);
}

/* value / 2**exponent, rounded to nearest, ties to even, held in 31 bits: a zero point can be added to
   it. The value is within 2**62, exponent 1 to 62. Where is_more is not 0, a fraction was cut off. */
static inline int32_t microtvm_even_shift(int64_t value, int32_t exponent, int32_t is_more) {
  const int64_t limit = (INT64_C(1) << 30) - 1;
  const int64_t half = INT64_C(1) << (exponent - 1);
  const int64_t raised = value + half;
  int64_t result = raised >> exponent;
  if (!is_more && (raised & (2 * half - 1)) == 0) {
    result -= result & 1;
  }
  return (int32_t)(result > limit ? limit : result < -limit ? -limit : result);
}

/* value * multiplier * 2**(shift - 31), rounded once, ties to even. shift is at most 30. */
static inline int32_t microtvm_requantize_even(int32_t value, int32_t multiplier, int32_t shift) {
  return microtvm_even_shift((int64_t)value * multiplier, 31 - shift, 0);
}

/* The same for sums of 48 bits. shift is at most 14. */
static inline int32_t microtvm_requantize_even_wide(
    int64_t value, int32_t multiplier, int32_t shift) {
  const int64_t low = (value & 0xffff) * multiplier;
  const int64_t high = (value >> 16) * multiplier + (low >> 16);
  return microtvm_even_shift(high, 15 - shift, (low & 0xffff) != 0);
}

/* sum / count, rounded to nearest, ties to even; twice the sum fits int64_t. */
static inline int32_t microtvm_even_mean(int64_t sum, int32_t count) {
  const int64_t twice = 2 * sum + count;
  const int64_t divisor = 2 * (int64_t)count;
  int64_t result = twice / divisor;
  const int64_t rest = twice - result * divisor;
  result -= rest < 0 ? 1 : 0;
  if (rest == 0) {
    result -= result & 1;
  }
  return (int32_t)result;
}

/* The square root of `value`, rounded down. */
static inline uint32_t microtvm_root(uint64_t value) {
  uint64_t root = 0;
  for (uint64_t bit = UINT64_C(1) << 62; bit != 0; bit >>= 2) {
    if (value >= root + bit) {
      value -= root + bit;
      root = (root >> 1) + bit;
    } else {
      root >>= 1;
    }
  }
  return (uint32_t)root;
}

/* The nearest value that int32_t holds. */
static inline int32_t microtvm_saturate32(int64_t value) {
  return (int32_t)(value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : value);
}

/* The real number `value` in steps of `scale`, rounded to nearest, ties away from zero. */
static inline int32_t microtvm_quantize(
    float value, float scale, int32_t zero_point, int32_t minimum, int32_t maximum) {
  const float steps = roundf(value / scale);
  if (!(steps > (float)(minimum - zero_point))) {
    return minimum;
  }
  return steps < (float)(maximum - zero_point) ? (int32_t)steps + zero_point : maximum;
}

/* The nearest integer, ties to even. */
static inline float microtvm_nearest_even(float value) {
#if defined(__AVR__) /* its C library has no rintf */
  return fabs(value) < 8388608.0f ? (float)lrint(value) : value;
#else
  return rintf(value);
#endif
}

/* As microtvm_quantize, ties to even. */
static inline int32_t microtvm_quantize_even(
    float value, float scale, int32_t zero_point, int32_t minimum, int32_t maximum) {
  const float steps = microtvm_nearest_even(value / scale);
  if (!(steps > (float)(minimum - zero_point))) {
    return minimum;
  }
  return steps < (float)(maximum - zero_point) ? (int32_t)steps + zero_point : maximum;
}

/* value * 2**exponent, held in the range of int32_t. */
static inline int32_t microtvm_saturating_shift(int32_t value, int32_t exponent) {
  const int64_t shifted = (int64_t)value * (INT64_C(1) << exponent);
  return (int32_t)(shifted > INT32_MAX ? INT32_MAX : shifted < INT32_MIN ? INT32_MIN : shifted);
}

/* e**value: the value with 26 bits after the point, not positive; the result with 31. */
static inline int32_t microtvm_exp(int32_t value) {
  /* e**-(2**i), i from -2 to 4. */
  static const int32_t factors[] = {INT32_C(1672461947), INT32_C(1302514674), INT32_C(790015084),
      INT32_C(290630308), INT32_C(39332535), INT32_C(720401), INT32_C(242)};
  const int32_t quarter = INT32_C(1) << 24;
  const int32_t fraction = (value & (quarter - 1)) - quarter;
  const int32_t rest = fraction - value;
  /* A polynomial about -1/8. */
  const int32_t x = fraction * 32 + (INT32_C(1) << 28);
  const int32_t x2 = microtvm_high_multiply(x, x);
  const int32_t x3 = microtvm_high_multiply(x2, x);
  const int32_t x4 = microtvm_high_multiply(x2, x2);
  const int32_t third = microtvm_high_multiply(
      microtvm_rounding_shift(x4, 2) + x3, INT32_C(715827883));
  const int32_t base = INT32_C(1895147668);
  int32_t result = base + microtvm_high_multiply(base, x + microtvm_rounding_shift(third + x2, 1));
  for (int32_t i = 0; i < 7; ++i) {
    if ((rest >> (24 + i)) & 1) {
      result = microtvm_high_multiply(result, factors[i]);
    }
  }
  return value == 0 ? INT32_MAX : result;
}

/* 1 / (1 + value), both with 31 bits after the point; the value is not negative. */
static inline int32_t microtvm_inverse_of_one_plus(int32_t value) {
  const int32_t half = (int32_t)(((int64_t)value + INT32_MAX + 1) / 2);
  /* Newton's method; numbers with 29 bits after the point. */
  int32_t x = INT32_C(1515870810) + microtvm_high_multiply(half, INT32_C(-1010580540));
  for (int32_t i = 0; i < 3; ++i) {
    const int32_t rest = (INT32_C(1) << 29) - microtvm_high_multiply(half, x);
    x += microtvm_saturating_shift(microtvm_high_multiply(x, rest), 2);
  }
  return microtvm_saturating_shift(x, 1);
}

/* 1 / sum as the result * 2**-exponent; the sum with 19 bits after the point and at least 1, the
   result with 31. */
static inline int32_t microtvm_reciprocal(int32_t sum, int32_t *exponent) {
  int32_t headroom = 0;
  while (!(((uint32_t)sum << headroom) & UINT32_C(0x80000000))) {
    ++headroom;
  }
  *exponent = 12 - headroom;
  return microtvm_inverse_of_one_plus(
      (int32_t)(((uint32_t)sum << headroom) - UINT32_C(0x80000000)));
}

#endif /* TVMGEN_INTEGER_H_ */
