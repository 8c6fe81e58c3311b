/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions of Arm's DSP extension by name, each with a twin in plain C that gives the same bits.
 *
 * Two int16 in a word are written (low, high). Words in memory are little-endian, as on every CPU
 * that models run on here. Sums wrap around.
 */
#ifndef TVMGEN_INTEGER_DSP_H_
#define TVMGEN_INTEGER_DSP_H_

#include <stdint.h>
#include <string.h>

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP && defined(__thumb2__) && defined(__GNUC__)
#define MICROTVM_HAS_DSP 1
#include <arm_acle.h>
#else
#define MICROTVM_HAS_DSP 0
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The word at any address. */
static inline uint32_t microtvm_load_word(const void *address) {
  uint32_t word;
  memcpy(&word, address, sizeof(word));
  return word;
}

/* The two words at *address, which has to be a multiple of 4; then moves on by two. They are loaded
 * after two sums have been computed: a compiler that loads words long before their use runs out of
 * registers. */
static inline void microtvm_load_pair(uint32_t *first, uint32_t *second, const uint32_t **address,
    int32_t sum, int32_t other_sum) {
#if MICROTVM_HAS_DSP
  const uint32_t *from = *address;
  __asm__("ldrd %0, %1, [%2], #8"
          : "=&r"(*first), "=&r"(*second), "+r"(from)
          : "m"(*(const uint32_t(*)[2])from), "r"(sum), "r"(other_sum));
  *address = from;
#else
  (void)sum;
  (void)other_sum;
  *first = (*address)[0];
  *second = (*address)[1];
  *address += 2;
#endif
}

/* The word at *address, which then moves on; loaded after two sums have been computed: likewise. */
static inline uint32_t microtvm_next_word(
    const uint32_t **address, int32_t sum, int32_t other_sum) {
#if MICROTVM_HAS_DSP
  const uint32_t *from = *address;
  uint32_t word;
  __asm__("ldr %0, [%1], #4"
          : "=r"(word), "+r"(from)
          : "m"(*from), "r"(sum), "r"(other_sum));
  *address = from;
  return word;
#else
  (void)sum;
  (void)other_sum;
  return *(*address)++;
#endif
}

/* What is at *address is read after two sums have been computed: likewise. */
static inline void microtvm_after(const int32_t **address, int32_t sum, int32_t other_sum) {
#if MICROTVM_HAS_DSP
  __asm__("" : "+r"(*address) : "r"(sum), "r"(other_sum));
#else
  (void)address;
  (void)sum;
  (void)other_sum;
#endif
}

/* (byte 0, byte 2) of a word of int8. */
static inline uint32_t microtvm_sxtb16(uint32_t word) {
#if MICROTVM_HAS_DSP
  return (uint32_t)__sxtb16((int8x4_t)word);
#else
  return ((word & 0x00ff00ffu) ^ 0x00800080u) - 0x00800080u + ((word & 0x80u) << 9);
#endif
}

/* (byte 1, byte 3) of a word of int8. */
static inline uint32_t microtvm_sxtb16_odd(uint32_t word) {
#if MICROTVM_HAS_DSP
  uint32_t result;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(result) : "r"(word));
  return result;
#else
  return microtvm_sxtb16(word >> 8);
#endif
}

/* (a.low - b.low, a.high - b.high). */
static inline uint32_t microtvm_ssub16(uint32_t a, uint32_t b) {
#if MICROTVM_HAS_DSP
  return (uint32_t)__ssub16((int16x2_t)a, (int16x2_t)b);
#else
  return ((a - b) & 0xffffu) | (((a >> 16) - (b >> 16)) << 16);
#endif
}

/* (low of a, low of b). */
static inline uint32_t microtvm_pkhbt(uint32_t a, uint32_t b) {
#if MICROTVM_HAS_DSP
  uint32_t result;
  __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(result) : "r"(a), "r"(b));
  return result;
#else
  return (a & 0xffffu) | (b << 16);
#endif
}

/* (high of a, high of b). */
static inline uint32_t microtvm_pkhtb(uint32_t a, uint32_t b) {
#if MICROTVM_HAS_DSP
  uint32_t result;
  __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(result) : "r"(b), "r"(a));
  return result;
#else
  return (a >> 16) | (b & 0xffff0000u);
#endif
}

/* sum + a.low * b.low + a.high * b.high. */
static inline int32_t microtvm_smlad(uint32_t a, uint32_t b, int32_t sum) {
#if MICROTVM_HAS_DSP
  return __smlad((int16x2_t)a, (int16x2_t)b, sum);
#else
  const int32_t low = (int32_t)(int16_t)a * (int16_t)b;
  const int32_t high = (int32_t)(int16_t)(a >> 16) * (int16_t)(b >> 16);
  return (int32_t)((uint32_t)sum + (uint32_t)low + (uint32_t)high);
#endif
}

/* a.low * b.low + a.high * b.high. */
static inline int32_t microtvm_smuad(uint32_t a, uint32_t b) {
#if MICROTVM_HAS_DSP
  return __smuad((int16x2_t)a, (int16x2_t)b);
#else
  return microtvm_smlad(a, b, 0);
#endif
}

/* sum + a.low * b.low. */
static inline int32_t microtvm_smlabb(uint32_t a, uint32_t b, int32_t sum) {
#if MICROTVM_HAS_DSP
  return __smlabb((int32_t)a, (int32_t)b, sum);
#else
  return (int32_t)((uint32_t)sum + (uint32_t)((int32_t)(int16_t)a * (int16_t)b));
#endif
}

/* sum + a.low * b.high. */
static inline int32_t microtvm_smlabt(uint32_t a, uint32_t b, int32_t sum) {
#if MICROTVM_HAS_DSP
  return __smlabt((int32_t)a, (int32_t)b, sum);
#else
  return (int32_t)((uint32_t)sum + (uint32_t)((int32_t)(int16_t)a * (int16_t)(b >> 16)));
#endif
}

/* sum + a.high * b.low. */
static inline int32_t microtvm_smlatb(uint32_t a, uint32_t b, int32_t sum) {
  return microtvm_smlabt(b, a, sum);
}

/* sum + a.high * b.high. */
static inline int32_t microtvm_smlatt(uint32_t a, uint32_t b, int32_t sum) {
#if MICROTVM_HAS_DSP
  return __smlatt((int32_t)a, (int32_t)b, sum);
#else
  return (int32_t)((uint32_t)sum + (uint32_t)((int32_t)(int16_t)(a >> 16) * (int16_t)(b >> 16)));
#endif
}

#ifdef __cplusplus
}
#endif

#endif /* TVMGEN_INTEGER_DSP_H_ */
