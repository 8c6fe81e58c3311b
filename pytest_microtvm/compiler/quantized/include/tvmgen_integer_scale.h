/* SPDX-License-Identifier: Apache-2.0 */
/* From accumulators to outputs by a few instructions, where the compiler of the model has proved
 * that nothing overflows. Exactly TFLite's arithmetic; see kernels/scaling.py for why.
 */
#ifndef TVMGEN_INTEGER_SCALE_H_
#define TVMGEN_INTEGER_SCALE_H_

#include <stdint.h>

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP && defined(__thumb2__) && defined(__GNUC__)
#define MICROTVM_HAS_HIGH_PRODUCT 1
#else
#define MICROTVM_HAS_HIGH_PRODUCT 0
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* offset + the high word of a * b, rounded to nearest, halves up. */
static inline int32_t microtvm_high_rounded(int32_t a, int32_t b, int32_t offset) {
#if MICROTVM_HAS_HIGH_PRODUCT
  int32_t result;
  __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(offset));
  return result;
#else
  const uint64_t start = ((uint64_t)(uint32_t)offset << 32) | UINT32_C(0x80000000);
  return (int32_t)(((int64_t)start + (int64_t)a * b) >> 32);
#endif
}

/* offset + the high word of a * b, rounded down. */
static inline int32_t microtvm_high(int32_t a, int32_t b, int32_t offset) {
#if MICROTVM_HAS_HIGH_PRODUCT
  int32_t result;
  __asm__("smmla %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(offset));
  return result;
#else
  return offset + (int32_t)(((int64_t)a * b) >> 32);
#endif
}

/* The high word of a * b, rounded down. */
static inline int32_t microtvm_high_product(int32_t a, int32_t b) {
#if MICROTVM_HAS_HIGH_PRODUCT
  int32_t result;
  __asm__("smmul %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
  return result;
#else
  return (int32_t)(((int64_t)a * b) >> 32);
#endif
}

/* The nearest int8; where the value was shifted to the right, one instruction does both. */
static inline int32_t microtvm_saturate8(int32_t value) {
#if defined(__ARM_FEATURE_SAT) && __ARM_FEATURE_SAT && defined(__GNUC__)
  return (int32_t)__builtin_arm_ssat(value, 8);
#else
  return value < -128 ? -128 : value > 127 ? 127 : value;
#endif
}

/* The value, computed here once: a compiler short of registers would do it again at every use. */
static inline int32_t microtvm_once(int32_t value) {
#if defined(__GNUC__)
  __asm__("" : "+r"(value));
#endif
  return value;
}

/* Of a word that holds a multiplier and in its lower two bits a shift: the multiplier. */
static inline int32_t microtvm_packed_multiplier(int32_t word) {
  return microtvm_once((int32_t)((uint32_t)word >> 2 | UINT32_C(0x40000000)));
}

/* The shift. */
static inline int32_t microtvm_packed_shift(int32_t word, int32_t least) {
  return microtvm_once((int32_t)((uint32_t)word & 3u) + least);
}

#ifdef __cplusplus
}
#endif

#endif /* TVMGEN_INTEGER_SCALE_H_ */
