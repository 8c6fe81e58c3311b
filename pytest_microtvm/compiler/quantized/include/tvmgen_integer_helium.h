/* SPDX-License-Identifier: Apache-2.0 */
/* Helium, Arm's M-profile vector extension, by small functions, each with a twin in plain C that
 * gives the same bits. A vector has 16 bytes: 16 int8, 8 int16 or 4 int32, the first in the lowest
 * byte. Sums wrap around.
 */
#ifndef TVMGEN_INTEGER_HELIUM_H_
#define TVMGEN_INTEGER_HELIUM_H_

#include <stdint.h>
#include <string.h>

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1) && defined(__GNUC__) && \
    !defined(__clang__)
#define MICROTVM_HAS_HELIUM 1
#include <arm_mve.h>
#else
#define MICROTVM_HAS_HELIUM 0
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* How int32 become smaller ones: see kernels/helium_scaling.py. */
enum {
  MICROTVM_POSITIVE,   /* two roundings; what would become negative is clamped to 0 anyway */
  MICROTVM_SHORT,      /* two roundings, the shift at least one bit to the right */
  MICROTVM_ANY_SHIFT,  /* two roundings */
  MICROTVM_SINGLE      /* one rounding, where there are no ties */
};

#if MICROTVM_HAS_HELIUM

typedef int8x16_t microtvm_int8x16;
typedef int32x4_t microtvm_int32x4;

static inline microtvm_int8x16 microtvm_load16(const int8_t *from) {
  return vldrbq_s8(from);
}

/* `count` int8 and zeros; nothing beyond is read. */
static inline microtvm_int8x16 microtvm_load_first(const int8_t *from, int32_t count) {
  return vldrbq_z_s8(from, vctp8q((uint32_t)count));
}

static inline void microtvm_store16(int8_t *to, microtvm_int8x16 value) {
  vstrbq_s8(to, value);
}

static inline void microtvm_store_first(int8_t *to, microtvm_int8x16 value, int32_t count) {
  vstrbq_p_s8(to, value, vctp8q((uint32_t)count));
}

static inline microtvm_int8x16 microtvm_all16(int32_t value) {
  return vdupq_n_s8((int8_t)value);
}

/* Gathered loads and scattered stores are not by the compiler's own functions: gcc 12 takes them to
 * touch no more than the 16 bytes at the address, and moves what touches others across them. */

/* Byte n of `count` goes to to[places[n]]. The predicate register has no name for the compiler, so it
 * keeps its value. */
static inline void microtvm_scatter_first(
    int8_t *to, const uint8_t *places, microtvm_int8x16 value, int32_t count) {
  const uint32_t mask = vctp8q((uint32_t)count);
  uint32_t before;
  __asm__("vmrs %[before], p0\n\t"
          "vmsr p0, %[mask]\n\t"
          "vpst\n\t"
          "vstrbt.8 %q[value], [%[to], %q[places]]\n\t"
          "vmsr p0, %[before]"
          : "+m"(*(int8_t(*)[])to), [before] "=&r"(before)
          : [to] "r"(to), [places] "w"(vldrbq_u8(places)), [value] "w"(value), [mask] "r"(mask));
}

/* Byte n is from[places[n]]. */
static inline microtvm_int8x16 microtvm_gather16(const int8_t *from, const uint8_t *places) {
  microtvm_int8x16 result;
  __asm__("vldrb.u8 %q[result], [%[from], %q[places]]"
          : [result] "=&w"(result)
          : [from] "r"(from), [places] "w"(vldrbq_u8(places)), "m"(*(const int8_t(*)[])from));
  return result;
}

/* a0, b0, c0, d0, a1, b1, ...: 64 bytes. */
static inline void microtvm_store_woven(int8_t *to, microtvm_int8x16 a, microtvm_int8x16 b,
    microtvm_int8x16 c, microtvm_int8x16 d) {
  const int8x16x4_t all = {{a, b, c, d}};
  vst4q_s8(to, all);
}

/* sum + a0 * b0 + ... + a15 * b15. */
static inline int32_t microtvm_dot(int32_t sum, microtvm_int8x16 a, microtvm_int8x16 b) {
  return vmladavaq_s8(sum, a, b);
}

/* The same from 0. */
static inline int32_t microtvm_first_dot(microtvm_int8x16 a, microtvm_int8x16 b) {
  return vmladavq_s8(a, b);
}

/* The following are statements that the compiler leaves in their order: one that loads vectors long
 * before their use runs out of registers. */

/* 16 int8, then moves on. */
static inline microtvm_int8x16 microtvm_next16(const int8_t **from) {
  microtvm_int8x16 result;
  const int8_t *at = *from;
  __asm__ volatile("vldrb.8 %q[result], [%[at]], #16"
                   : [result] "=w"(result), [at] "+r"(at)
                   : "m"(*(const int8_t(*)[16])at));
  *from = at;
  return result;
}

/* To a sum, 16 products; it starts with them when `first` is set. */
static inline void microtvm_accumulate(
    int32_t *sum, microtvm_int8x16 a, microtvm_int8x16 b, int first) {
  int32_t s = *sum;
  if (first) {
    __asm__ volatile("vmladav.s8 %[s], %q[a], %q[b]" : [s] "=Te"(s) : [a] "w"(a), [b] "w"(b));
  } else {
    __asm__ volatile("vmladava.s8 %[s], %q[a], %q[b]" : [s] "+Te"(s) : [a] "w"(a), [b] "w"(b));
  }
  *sum = s;
}

static inline microtvm_int32x4 microtvm_load4(const int32_t *from) {
  return vldrwq_s32(from);
}

static inline void microtvm_store4(int32_t *to, microtvm_int32x4 value) {
  vstrwq_s32(to, value);
}

static inline microtvm_int32x4 microtvm_all4(int32_t value) {
  return vdupq_n_s32(value);
}

/* a * b + c. */
static inline microtvm_int32x4 microtvm_multiply_add4(
    microtvm_int32x4 a, microtvm_int32x4 b, int32_t c) {
  return vmlasq_n_s32(a, b, c);
}

/* a + b * c. */
static inline microtvm_int32x4 microtvm_add_product4(
    microtvm_int32x4 a, microtvm_int32x4 b, int32_t c) {
  return vmlaq_n_s32(a, b, c);
}

/* `count` int32 and zeros. */
static inline microtvm_int32x4 microtvm_load4_first(const int32_t *from, int32_t count) {
  return vldrwq_z_s32(from, vctp32q((uint32_t)count));
}

/* Four int8 as int32. */
static inline microtvm_int32x4 microtvm_widen4(const int8_t *from) {
  return vldrbq_s32(from);
}

/* The first `count` and zeros. */
static inline microtvm_int32x4 microtvm_widen4_first(const int8_t *from, int32_t count) {
  return vldrbq_z_s32(from, vctp32q((uint32_t)count));
}

/* The words at from + bytes[0], ..., from + bytes[3]. */
static inline microtvm_int8x16 microtvm_gather_words(
    const int8_t *from, microtvm_int32x4 bytes) {
  microtvm_int8x16 result;
  __asm__("vldrw.u32 %q[result], [%[from], %q[bytes]]"
          : [result] "=&w"(result)
          : [from] "r"(from), [bytes] "w"(bytes), "m"(*(const int8_t(*)[])from));
  return result;
}

static inline microtvm_int32x4 microtvm_int32_of(int32_t a, int32_t b, int32_t c, int32_t d) {
  microtvm_int32x4 result;
  __asm__("vmov %q0[2], %q0[0], %1, %2\n\tvmov %q0[3], %q0[1], %3, %4"
          : "=w"(result)
          : "r"(a), "r"(c), "r"(b), "r"(d));
  return result;
}

static inline microtvm_int32x4 microtvm_add4(microtvm_int32x4 a, microtvm_int32x4 b) {
  return vaddq_s32(a, b);
}

static inline microtvm_int32x4 microtvm_add4_all(microtvm_int32x4 a, int32_t b) {
  return vaddq_n_s32(a, b);
}

static inline microtvm_int32x4 microtvm_subtract4(microtvm_int32x4 a, microtvm_int32x4 b) {
  return vsubq_s32(a, b);
}

static inline microtvm_int32x4 microtvm_shift_down8(microtvm_int32x4 value) {
  return vshrq_n_s32(value, 8);
}

/* value * multiplier * 2**(shift - 31); of a shift only the low byte counts. */
static inline microtvm_int32x4 microtvm_scale4(microtvm_int32x4 value,
    microtvm_int32x4 multiplier, microtvm_int32x4 shift, int32_t rounding) {
  if (rounding == MICROTVM_ANY_SHIFT) {
    const int32x4_t whole = vshrq_n_s32(vshlq_n_s32(shift, 24), 24);
    const int32x4_t zero = vdupq_n_s32(0);
    const int32x4_t right = vminq_s32(whole, zero);
    const int32x4_t high = vqrdmulhq_s32(vshlq_s32(value, vmaxq_s32(whole, zero)), multiplier);
    return vrshlq_s32(vaddq_s32(high, vshrq_n_s32(vandq_s32(high, right), 31)), right);
  }
  if (rounding == MICROTVM_SINGLE) {
    return vrshlq_s32(vqdmulhq_s32(value, multiplier), shift);
  }
  const int32x4_t high = vqrdmulhq_s32(value, multiplier);
  if (rounding == MICROTVM_POSITIVE) {
    return vrshlq_s32(high, shift);
  }
  return vrshlq_s32(vaddq_s32(high, vshrq_n_s32(high, 31)), shift);
}

/* The same with one factor for all. */
static inline microtvm_int32x4 microtvm_scale4_all(
    microtvm_int32x4 value, int32_t multiplier, int32_t shift, int32_t rounding) {
  if (rounding == MICROTVM_ANY_SHIFT && shift == 0) {
    return vqrdmulhq_n_s32(value, multiplier);
  }
  if (rounding == MICROTVM_ANY_SHIFT) {
    const int32_t right = shift < 0 ? shift : 0;
    const int32x4_t high =
        vqrdmulhq_n_s32(vshlq_r_s32(value, shift > 0 ? shift : 0), multiplier);
    const int32x4_t sign = vshrq_n_s32(vandq_s32(high, vdupq_n_s32(right)), 31);
    return vrshlq_n_s32(vaddq_s32(high, sign), right);
  }
  if (rounding == MICROTVM_SINGLE) {
    return vrshlq_n_s32(vqdmulhq_n_s32(value, multiplier), shift);
  }
  const int32x4_t high = vqrdmulhq_n_s32(value, multiplier);
  if (rounding == MICROTVM_POSITIVE) {
    return vrshlq_n_s32(high, shift);
  }
  return vrshlq_n_s32(vaddq_s32(high, vshrq_n_s32(high, 31)), shift);
}

/* The upper half of value * multiplier, * 2**(1 - shift), rounded to nearest. */
static inline microtvm_int32x4 microtvm_line4(
    microtvm_int32x4 value, microtvm_int32x4 multiplier, int32_t shift) {
  return vrshlq_n_s32(vqdmulhq_s32(value, multiplier), -shift);
}

/* The same with one multiplier for all. */
static inline microtvm_int32x4 microtvm_line4_all(
    microtvm_int32x4 value, int32_t multiplier, int32_t shift) {
  return vrshlq_n_s32(vqdmulhq_n_s32(value, multiplier), -shift);
}

/* value + zero_point between the limits. */
static inline microtvm_int32x4 microtvm_output4(
    microtvm_int32x4 value, int32_t zero_point, int32_t minimum, int32_t maximum) {
  const int32x4_t moved = zero_point == 0 ? value : vqaddq_n_s32(value, zero_point);
  if (minimum == -128 && maximum == 127) {
    int32x4_t result = moved;
    __asm__("vqmovnb.s32 %q0, %q0\n\tvqmovnb.s16 %q0, %q0" : "+w"(result));
    return result;
  }
  return vminq_s32(vmaxq_s32(moved, vdupq_n_s32(minimum)), vdupq_n_s32(maximum));
}

/* Vectors of int16 as int8, in turn, moved by `zero_point` and between the limits. */
static inline microtvm_int8x16 microtvm_bytes16(int16x8_t even, int16x8_t odd, int32_t zero_point,
    int32_t minimum, int32_t maximum) {
  if (zero_point != 0) {
    even = vqaddq_n_s16(even, (int16_t)zero_point);
    odd = vqaddq_n_s16(odd, (int16_t)zero_point);
  }
  int8x16_t result = vreinterpretq_s8_s16(even);
  __asm__("vqmovnb.s16 %q0, %q0\n\tvqmovnt.s16 %q0, %q1" : "+w"(result) : "w"(odd));
  if (minimum > -128) {
    result = vmaxq_s8(result, vdupq_n_s8((int8_t)minimum));
  }
  if (maximum < 127) {
    result = vminq_s8(result, vdupq_n_s8((int8_t)maximum));
  }
  return result;
}

/* As microtvm_output4: byte 4 * n + i is of element n of vector i. */
static inline microtvm_int8x16 microtvm_output16(microtvm_int32x4 v0, microtvm_int32x4 v1,
    microtvm_int32x4 v2, microtvm_int32x4 v3, int32_t zero_point, int32_t minimum,
    int32_t maximum) {
  int16x8_t even = vreinterpretq_s16_s32(v0);
  int16x8_t odd = vreinterpretq_s16_s32(v1);
  __asm__("vqmovnb.s32 %q0, %q0\n\tvqmovnt.s32 %q0, %q1" : "+w"(even) : "w"(v2));
  __asm__("vqmovnb.s32 %q0, %q0\n\tvqmovnt.s32 %q0, %q1" : "+w"(odd) : "w"(v3));
  return microtvm_bytes16(even, odd, zero_point, minimum, maximum);
}

/* The low byte of `count` elements. */
static inline void microtvm_store4_first(int8_t *to, microtvm_int32x4 value, int32_t count) {
  if (count >= 4) {
    vstrbq_s32(to, value);
  } else {
    vstrbq_p_s32(to, value, vctp32q((uint32_t)count));
  }
}

/* The low byte of element n goes to to[places[n]]. */
static inline void microtvm_scatter4(
    int8_t *to, microtvm_int32x4 places, microtvm_int32x4 value) {
  __asm__("vstrb.32 %q[value], [%[to], %q[places]]"
          : "+m"(*(int8_t(*)[])to)
          : [to] "r"(to), [places] "w"(places), [value] "w"(value));
}

#include "tvmgen_integer_helium_sequences.h"

#else

#include "tvmgen_integer_helium_plain.h"

#endif

/* Four of the sums of microtvm_scale16, scaled. */
static inline microtvm_int32x4 microtvm_scaled4(
    const int32_t *sums, const int32_t *parameters, const int8_t *shifts, int32_t rounding) {
  const microtvm_int32x4 words = microtvm_load4(parameters);
  const microtvm_int32x4 starts = shifts ? words : microtvm_shift_down8(words);
  return microtvm_scale4(microtvm_add4(microtvm_load4(sums), starts),
      microtvm_load4(parameters + 16), shifts ? microtvm_widen4(shifts) : words, rounding);
}

/* 16 outputs of sums that have a factor each. `parameters` are 16 words, the start of a sum times
 * 256 and its shift in the low byte, and 16 multipliers; with `shifts`, the words are starts alone.
 * Sum 4 * i + n is of output 4 * n + i. */
static inline void microtvm_scale16(int8_t *to, const int32_t *sums, const int32_t *parameters,
    const int8_t *shifts, int32_t rounding, int32_t zero_point, int32_t minimum,
    int32_t maximum) {
  microtvm_store16(to,
      microtvm_output16(microtvm_scaled4(sums, parameters, shifts, rounding),
          microtvm_scaled4(sums + 4, parameters + 4, shifts ? shifts + 4 : 0, rounding),
          microtvm_scaled4(sums + 8, parameters + 8, shifts ? shifts + 8 : 0, rounding),
          microtvm_scaled4(sums + 12, parameters + 12, shifts ? shifts + 12 : 0, rounding),
          zero_point, minimum, maximum));
}

#if !MICROTVM_HAS_HELIUM
static inline void microtvm_scale_pair(int8_t *to0, int8_t *to1, const int32_t *sums0,
    const int32_t *sums1, const int32_t *parameters, int32_t zero_point, int32_t minimum,
    int32_t maximum) {
  microtvm_scale16(to0, sums0, parameters, 0, MICROTVM_SHORT, zero_point, minimum, maximum);
  microtvm_scale16(to1, sums1, parameters, 0, MICROTVM_SHORT, zero_point, minimum, maximum);
}
#endif

/* Four of the sums of microtvm_scale16_all, scaled. */
static inline microtvm_int32x4 microtvm_scaled4_all(const int32_t *sums, const int32_t *starts,
    int32_t multiplier, int32_t shift, int32_t rounding) {
  return microtvm_scale4_all(microtvm_add4(microtvm_load4(sums), microtvm_load4(starts)),
      multiplier, shift, rounding);
}

/* The same with one factor for all; `starts` are the starts of the sums. */
static inline void microtvm_scale16_all(int8_t *to, const int32_t *sums, const int32_t *starts,
    int32_t multiplier, int32_t shift, int32_t rounding, int32_t zero_point, int32_t minimum,
    int32_t maximum) {
  microtvm_store16(to,
      microtvm_output16(microtvm_scaled4_all(sums, starts, multiplier, shift, rounding),
          microtvm_scaled4_all(sums + 4, starts + 4, multiplier, shift, rounding),
          microtvm_scaled4_all(sums + 8, starts + 8, multiplier, shift, rounding),
          microtvm_scaled4_all(sums + 12, starts + 12, multiplier, shift, rounding), zero_point,
          minimum, maximum));
}

#ifdef __cplusplus
}
#endif

#endif /* TVMGEN_INTEGER_HELIUM_H_ */
