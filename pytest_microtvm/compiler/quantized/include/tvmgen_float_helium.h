/* SPDX-License-Identifier: Apache-2.0 */
/* Helium over float32, by small functions, each with a twin in plain C that gives the same bits. A
 * vector has four floats. Helium fuses multiplications with additions, and takes numbers below
 * FLT_MIN in size for 0: so do the twins.
 */
#ifndef TVMGEN_FLOAT_HELIUM_H_
#define TVMGEN_FLOAT_HELIUM_H_

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "tvmgen_float_kernels.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2) && defined(__GNUC__)
#include <arm_mve.h>
#define MICROTVM_HAS_FLOAT_HELIUM 1
#else
#define MICROTVM_HAS_FLOAT_HELIUM 0
#endif

#ifdef __cplusplus
extern "C" {
#endif

#if MICROTVM_HAS_FLOAT_HELIUM

typedef float32x4_t microtvm_float4;

static inline microtvm_float4 microtvm_load_floats(const float *from) {
  return vld1q_f32(from);
}

/* Four numbers of 8 bits. */
static inline microtvm_float4 microtvm_load_bytes(const int8_t *from) {
  return vcvtq_f32_s32(vldrbq_s32(from));
}

/* Four finite numbers of float16. */
static inline microtvm_float4 microtvm_load_halves(const uint16_t *from) {
  return vcvtbq_f32_f16(vreinterpretq_f16_u32(vldrhq_u32(from)));
}

static inline void microtvm_store_floats(float *to, microtvm_float4 value) {
  vst1q_f32(to, value);
}

static inline microtvm_float4 microtvm_all_floats(float value) {
  return vdupq_n_f32(value);
}

/* sum + a * b, rounded once. */
static inline microtvm_float4 microtvm_add_products(
    microtvm_float4 sum, microtvm_float4 a, microtvm_float4 b) {
  return vfmaq_f32(sum, a, b);
}

/* sum + a * b, rounded once, with one number for all lanes. */
static inline microtvm_float4 microtvm_add_multiple(
    microtvm_float4 sum, microtvm_float4 a, float b) {
  return vfmaq_n_f32(sum, a, b);
}

/* Each lane, or `minimum` where it is below. */
static inline microtvm_float4 microtvm_floats_at_least(microtvm_float4 value, float minimum) {
  return vpselq_f32(vdupq_n_f32(minimum), value, vcmpltq_n_f32(value, minimum));
}

/* Each lane, or `maximum` where it is above. */
static inline microtvm_float4 microtvm_floats_at_most(microtvm_float4 value, float maximum) {
  return vpselq_f32(vdupq_n_f32(maximum), value, vcmpgtq_n_f32(value, maximum));
}

#else

#if defined(__GNUC__)
#define MICROTVM_ONCE __attribute__((noinline, unused)) /* large, and called from everywhere */
#else
#define MICROTVM_ONCE inline
#endif

typedef struct {
  float lane[4];
} microtvm_float4;

static inline microtvm_float4 microtvm_load_floats(const float *from) {
  microtvm_float4 result;
  memcpy(result.lane, from, sizeof(result.lane));
  return result;
}

static inline microtvm_float4 microtvm_load_bytes(const int8_t *from) {
  const microtvm_float4 result = {
      {(float)from[0], (float)from[1], (float)from[2], (float)from[3]}};
  return result;
}

static inline microtvm_float4 microtvm_load_halves(const uint16_t *from) {
  microtvm_float4 result;
  for (int32_t n = 0; n < 4; ++n) {
    result.lane[n] = microtvm_float_of_half(from[n]);
  }
  return result;
}

static inline void microtvm_store_floats(float *to, microtvm_float4 value) {
  memcpy(to, value.lane, sizeof(value.lane));
}

static inline microtvm_float4 microtvm_all_floats(float value) {
  const microtvm_float4 result = {{value, value, value, value}};
  return result;
}

/* `value`, or 0 of its sign where it is below FLT_MIN in size. */
static inline float microtvm_normal(float value) {
  return fabsf(value) < FLT_MIN ? copysignf(0.0f, value) : value;
}

/* sum + a * b, rounded once. In double precision the product is exact; the sum is not, but is good
   enough unless it looks like a tie between two floats, or is as small as floats are. Then its last
   bit has to tell whether there was more: it is made odd. */
static MICROTVM_ONCE float microtvm_fused(float sum, float a, float b) {
  const double addend = (double)microtvm_normal(sum);
  const double product = (double)microtvm_normal(a) * (double)microtvm_normal(b);
  double total = product + addend;
  uint64_t bits;
  memcpy(&bits, &total, sizeof(bits));
  if ((bits & 0x1fffffffu) == 0x10000000u || fabs(total) <= (double)FLT_MIN) {
    const double part = total - product;
    const double error = (product - (total - part)) + (addend - part);
    if (error != 0.0 && (bits & 1u) == 0) {
      bits = (error > 0.0) == (total > 0.0) ? bits + 1 : bits - 1;
      memcpy(&total, &bits, sizeof(bits));
    }
    if (fabs(total) < (double)FLT_MIN) {
      return copysignf(0.0f, (float)total);
    }
  }
  return (float)total;
}

static inline microtvm_float4 microtvm_add_products(
    microtvm_float4 sum, microtvm_float4 a, microtvm_float4 b) {
  for (int32_t n = 0; n < 4; ++n) {
    sum.lane[n] = microtvm_fused(sum.lane[n], a.lane[n], b.lane[n]);
  }
  return sum;
}

static inline microtvm_float4 microtvm_add_multiple(
    microtvm_float4 sum, microtvm_float4 a, float b) {
  return microtvm_add_products(sum, a, microtvm_all_floats(b));
}

static inline microtvm_float4 microtvm_floats_at_least(microtvm_float4 value, float minimum) {
  for (int32_t n = 0; n < 4; ++n) {
    value.lane[n] = microtvm_normal(value.lane[n]) < minimum ? minimum : value.lane[n];
  }
  return value;
}

static inline microtvm_float4 microtvm_floats_at_most(microtvm_float4 value, float maximum) {
  for (int32_t n = 0; n < 4; ++n) {
    value.lane[n] = microtvm_normal(value.lane[n]) > maximum ? maximum : value.lane[n];
  }
  return value;
}

#endif

#ifdef __cplusplus
}
#endif

#endif
