/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic of float kernels: the same bits on every machine, as long as the C compiler does not
   contract a multiplication and an addition into one (-ffp-contract=off). C99 and C++11. */
#ifndef TVMGEN_FLOAT_KERNELS_H_
#define TVMGEN_FLOAT_KERNELS_H_

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `value`, or `minimum` where it is below; not a number stays so. */
static inline float microtvm_at_least(float value, float minimum) {
  return value < minimum ? minimum : value;
}

/* `value`, or `maximum` where it is above; not a number stays so. */
static inline float microtvm_at_most(float value, float maximum) {
  return value > maximum ? maximum : value;
}

/* The number that the bits of a float16 stand for, which is finite. */
static inline float microtvm_float_of_half(uint16_t half) {
#if defined(__ARM_FP) && defined(__GNUC__) && __ARM_ARCH_PROFILE == 'M'
  const uint32_t bits = half;
  float value;
  memcpy(&value, &bits, sizeof(value));
  __asm__("vcvtb.f32.f16 %0, %0" : "+t"(value));
  return value;
#else
  const uint32_t size = (uint32_t)(half & 0x7fffu) << 13;
  const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
  const uint32_t bits = size < UINT32_C(0x00800000) ? size : size + (UINT32_C(112) << 23);
  float value;
  memcpy(&value, &bits, sizeof(value));
  if (size < UINT32_C(0x00800000)) {
    value *= 5192296858534827628530496329220096.0f; /* 2**112: it is subnormal */
  }
  uint32_t signed_bits;
  memcpy(&signed_bits, &value, sizeof(value));
  signed_bits |= sign;
  memcpy(&value, &signed_bits, sizeof(value));
  return value;
#endif
}

/* 2**exponent, which is -126 to 127. */
static inline float microtvm_power_of_2(int32_t exponent) {
  const uint32_t bits = (uint32_t)(exponent + 127) << 23;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

/* e to the power of `value`, within 2 units in the last place: 2**n times a polynomial of what is
   left, at most half of ln 2 in size. */
static inline float microtvm_expf(float value) {
  if (!(value > -104.0f)) {
    return value <= -104.0f ? 0.0f : value; /* not a number stays so */
  }
  if (value > 89.0f) {
    return INFINITY;
  }
  const float n = (value * 1.44269504e+00f + 12582912.0f) - 12582912.0f; /* 1.5 * 2**23 rounds it */
  const float rest = (value - n * 0.693359375f) + n * 2.12194440e-04f;
  float sum = 1.38131471e-03f;
  sum = sum * rest + 8.36941879e-03f;
  sum = sum * rest + 4.16684560e-02f;
  sum = sum * rest + 1.66665152e-01f;
  sum = sum * rest + 4.99999940e-01f;
  sum = (sum * rest * rest + rest) + 1.0f;
  const int32_t exponent = (int32_t)n;
  const int32_t half = exponent / 2; /* in two steps: the result may be subnormal */
  return sum * microtvm_power_of_2(half) * microtvm_power_of_2(exponent - half);
}

/* 1 / (1 + e**-value) */
static inline float microtvm_logisticf(float value) {
  if (value < 0.0f) {
    const float power = microtvm_expf(value);
    return power / (1.0f + power);
  }
  return 1.0f / (1.0f + microtvm_expf(-value));
}

/* The hyperbolic tangent. */
static inline float microtvm_tanhf(float value) {
  const float size = value < 0.0f ? -value : value;
  if (size < 0.625f) {
    const float square = value * value;
    float sum = -5.71750384e-03f;
    sum = sum * square + 2.06510518e-02f;
    sum = sum * square - 5.37436642e-02f;
    sum = sum * square + 1.33314937e-01f;
    sum = sum * square - 3.33332837e-01f;
    return sum * square * value + value;
  }
  const float result = 1.0f - 2.0f / (microtvm_expf(2.0f * size) + 1.0f);
  return value < 0.0f ? -result : result;
}

#ifdef __cplusplus
}
#endif

#endif
