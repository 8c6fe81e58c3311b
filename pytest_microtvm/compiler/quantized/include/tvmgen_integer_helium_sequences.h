/* SPDX-License-Identifier: Apache-2.0 */
/* Longer sequences of Helium's instructions, for tvmgen_integer_helium.h, which includes this file.
 * They are in an order in which an instruction rarely waits for a result, and in which loads and
 * stores, products, and all else take turns: each of these has a unit of its own, for two cycles.
 */
#include "tvmgen_integer_helium.h"

#ifndef TVMGEN_INTEGER_HELIUM_SEQUENCES_H_
#define TVMGEN_INTEGER_HELIUM_SEQUENCES_H_

#if MICROTVM_HAS_HELIUM

#ifdef __cplusplus
extern "C" {
#endif

/* To the sums of two pixels, s and t, the products of their last `count` taps (x, y) with the weights
 * of two channels or three; the sums start with them when `first` is 1, not 0. Both numbers have to
 * be in the code. The predicate register has no name for the compiler, so it keeps its value. */
#define MICROTVM_LAST2(first, count, x, y, weights, s0, t0, s1, t1)                             \
  do {                                                                                          \
    int8x16_t microtvm_x, microtvm_y, microtvm_v, microtvm_w;                                   \
    uint32_t microtvm_before;                                                                   \
    __asm__ volatile(MICROTVM_LAST_TWO(first, count)                                            \
            "vpst\n\t"                                                                          \
            MICROTVM_PRODUCT_##first " %[b1], %q[y], %q[w]\n\t"                                 \
            "vmsr p0, %[before]"                                                                \
            : MICROTVM_LAST_VECTORS, [a0] MICROTVM_TOTAL_##first(s0),                           \
              [b0] MICROTVM_TOTAL_##first(t0), [a1] MICROTVM_TOTAL_##first(s1),                 \
              [b1] MICROTVM_TOTAL_##first(t1)                                                   \
            : MICROTVM_LAST_INPUTS(count, x, y, weights)                                        \
            : "memory");                                                                        \
  } while (0)

#define MICROTVM_LAST3(first, count, x, y, weights, s0, t0, s1, t1, s2, t2)                     \
  do {                                                                                          \
    int8x16_t microtvm_x, microtvm_y, microtvm_v, microtvm_w;                                   \
    uint32_t microtvm_before;                                                                   \
    __asm__ volatile(MICROTVM_LAST_TWO(first, count)                                            \
            "vpstttt\n\t"                                                                       \
            "vldrbt.8 %q[v], [%[factors], #2*" #count "]\n\t"                                   \
            MICROTVM_PRODUCT_##first " %[b1], %q[y], %q[w]\n\t"                                 \
            MICROTVM_PRODUCT_##first " %[a2], %q[x], %q[v]\n\t"                                 \
            MICROTVM_PRODUCT_##first " %[b2], %q[y], %q[v]\n\t"                                 \
            "vmsr p0, %[before]"                                                                \
            : MICROTVM_LAST_VECTORS, [a0] MICROTVM_TOTAL_##first(s0),                           \
              [b0] MICROTVM_TOTAL_##first(t0), [a1] MICROTVM_TOTAL_##first(s1),                 \
              [b1] MICROTVM_TOTAL_##first(t1), [a2] MICROTVM_TOTAL_##first(s2),                 \
              [b2] MICROTVM_TOTAL_##first(t2)                                                   \
            : MICROTVM_LAST_INPUTS(count, x, y, weights)                                        \
            : "memory");                                                                        \
  } while (0)

/* All but the last of those of two channels. */
#define MICROTVM_LAST_TWO(first, count)                    \
  "vmrs %[before], p0\n\t"                                 \
  "vmsr p0, %[mask]\n\t"                                   \
  "vpstttt\n\t"                                            \
  "vldrbt.8 %q[x], [%[x_at]]\n\t"                          \
  "vldrbt.8 %q[v], [%[factors]]\n\t"                       \
  MICROTVM_PRODUCT_##first " %[a0], %q[x], %q[v]\n\t"      \
  "vldrbt.8 %q[y], [%[y_at]]\n\t"                          \
  "vpsttt\n\t"                                             \
  MICROTVM_PRODUCT_##first " %[b0], %q[y], %q[v]\n\t"      \
  "vldrbt.8 %q[w], [%[factors], #" #count "]\n\t"          \
  MICROTVM_PRODUCT_##first " %[a1], %q[x], %q[w]\n\t"

#define MICROTVM_PRODUCT_0 "vmladavat.s8"
#define MICROTVM_PRODUCT_1 "vmladavt.s8"
#define MICROTVM_TOTAL_0 "+&Te"
#define MICROTVM_TOTAL_1 "=&Te"

#define MICROTVM_LAST_VECTORS                                                         \
  [x] "=&w"(microtvm_x), [y] "=&w"(microtvm_y), [v] "=&w"(microtvm_v),                \
  [w] "=&w"(microtvm_w), [before] "=&r"(microtvm_before)
#define MICROTVM_LAST_INPUTS(count, x, y, weights)                                    \
  [mask] "r"((1u << (count)) - 1u), [x_at] "r"(x), [y_at] "r"(y), [factors] "r"(weights)

/* 16 outputs by lines: sum * unit + start, scaled by microtvm_line4. `parameters` are 16 starts and
 * 16 multipliers; sum 4 * i + n is of output 4 * n + i. The shift has to be a number in the code. */
#define MICROTVM_LINE16(to, sums, parameters, unit, shift, zero_point, minimum, maximum)        \
  do {                                                                                          \
    const int32_t *const microtvm_sums = (sums);                                                \
    const int32_t *const microtvm_parameters = (parameters);                                    \
    int32x4_t microtvm_a, microtvm_b, microtvm_factors;                                         \
    int16x8_t microtvm_even, microtvm_odd;                                                      \
    __asm__(MICROTVM_LINE4("a", "0", "64", "")                                                  \
            MICROTVM_LINE4("b", "16", "80", "vqrshrnb.s32 %q[even], %q[a], #" #shift "\n\t")    \
            MICROTVM_LINE4("a", "32", "96", "vqrshrnb.s32 %q[odd], %q[b], #" #shift "\n\t")     \
            MICROTVM_LINE4("b", "48", "112", "vqrshrnt.s32 %q[even], %q[a], #" #shift "\n\t")   \
            "vqrshrnt.s32 %q[odd], %q[b], #" #shift                                             \
            : [a] "=&w"(microtvm_a), [b] "=&w"(microtvm_b), [factors] "=&w"(microtvm_factors),  \
              [even] "=&w"(microtvm_even), [odd] "=&w"(microtvm_odd)                            \
            : [s] "r"(microtvm_sums), [p] "r"(microtvm_parameters), [u] "r"((int32_t)(unit)),   \
              "m"(*(const int32_t(*)[16])microtvm_sums),                                        \
              "m"(*(const int32_t(*)[32])microtvm_parameters));                                 \
    microtvm_store16(                                                                           \
        (to), microtvm_bytes16(microtvm_even, microtvm_odd, zero_point, minimum, maximum));     \
  } while (0)

/* Four of them; `before` ends what was begun before. */
#define MICROTVM_LINE4(v, at, at_factors, before)             \
  "vldrw.32 %q[" v "], [%[p], #" at "]\n\t"                   \
  before                                                      \
  "vldrw.32 %q[factors], [%[s], #" at "]\n\t"                 \
  "vmla.s32 %q[" v "], %q[factors], %[u]\n\t"                 \
  "vldrw.32 %q[factors], [%[p], #" at_factors "]\n\t"         \
  "vqdmulh.s32 %q[" v "], %q[" v "], %q[factors]\n\t"

/* Four sums of a and x, while those before them are stored. */
#define MICROTVM_LINEAR_SUM4(a, x, store)               \
  "vmlas.s32 %q[" a "], %q[factors], %[constant]\n\t"   \
  store                                                 \
  "vmla.s32 %q[" a "], %q[" x "], %[factor]\n\t"

/* They are shifted, while the next ones are loaded to b and y. */
#define MICROTVM_LINEAR4(a, x, store, b, y, at)         \
  MICROTVM_LINEAR_SUM4(a, x, store)                     \
  "vldrb.s32 %q[" b "], [%[left], #" at "]\n\t"         \
  "vqshl.s32 %q[" a "], %[raised]\n\t"                  \
  "vldrb.s32 %q[" y "], [%[right], #" at "]\n\t"        \
  "vshr.s32 %q[" a "], %q[" a "], #24\n\t"

/* Into `result`, four outputs by a line that has the zero point: value * multiplier, scaled as by
 * microtvm_line4_all, and saturated. Likewise. */
#define MICROTVM_LINE_BYTES4(result, value, multiplier, shift)                                  \
  do {                                                                                          \
    (result) = vqdmulhq_n_s32(value, multiplier);                                               \
    __asm__("vqrshrnb.s32 %q0, %q0, #" #shift "\n\tvqmovnb.s16 %q0, %q0" : "+w"(result));       \
  } while (0)

/* Of four sums of each pixel, x and y, what they scale to; w are their starts and shifts. */
#define MICROTVM_PAIR4(at, at_factors)           \
  "vshr.s32 %q[w], %q[w], #8\n\t"                \
  "vldrw.32 %q[m], [%[p], #" at_factors "]\n\t"  \
  "vadd.i32 %q[x], %q[x], %q[w]\n\t"             \
  "vqrdmulh.s32 %q[x], %q[x], %q[m]\n\t"         \
  "vadd.i32 %q[y], %q[y], %q[w]\n\t"             \
  "vqrdmulh.s32 %q[y], %q[y], %q[m]\n\t"         \
  "vshr.s32 %q[w], %q[x], #31\n\t"               \
  "vmla.s32 %q[x], %q[w], %[one]\n\t"            \
  "vshr.s32 %q[m], %q[y], #31\n\t"               \
  "vmla.s32 %q[y], %q[m], %[one]\n\t"            \
  "vldrw.32 %q[w], [%[p], #" at "]\n\t"          \
  "vrshl.s32 %q[x], %q[x], %q[w]\n\t"            \
  "vrshl.s32 %q[y], %q[y], %q[w]\n\t"

/* They become 16 bits, while the next ones are loaded. */
#define MICROTVM_NEXT4(at, half, place)                     \
  "vldrw.32 %q[w], [%[p], #" at "]\n\t"                     \
  "vqmovn" half ".s32 %q[" place "0], %q[x]\n\t"            \
  "vldrw.32 %q[x], [%[sums0], #" at "]\n\t"                 \
  "vqmovn" half ".s32 %q[" place "1], %q[y]\n\t"            \
  "vldrw.32 %q[y], [%[sums1], #" at "]\n\t"

/* As microtvm_scale16 for two pixels, by MICROTVM_SHORT. */
static inline void microtvm_scale_pair(int8_t *to0, int8_t *to1, const int32_t *sums0,
    const int32_t *sums1, const int32_t *parameters, int32_t zero_point, int32_t minimum,
    int32_t maximum) {
  int32x4_t w, x, y, m;
  int16x8_t even0, odd0, even1, odd1;
  __asm__("vldrw.32 %q[w], [%[p]]\n\t"
          "vldrw.32 %q[x], [%[sums0]]\n\t"
          "vldrw.32 %q[y], [%[sums1]]\n\t"
          MICROTVM_PAIR4("0", "64")
          MICROTVM_NEXT4("16", "b", "even")
          MICROTVM_PAIR4("16", "80")
          MICROTVM_NEXT4("32", "b", "odd")
          MICROTVM_PAIR4("32", "96")
          MICROTVM_NEXT4("48", "t", "even")
          MICROTVM_PAIR4("48", "112")
          "vqmovnt.s32 %q[odd0], %q[x]\n\t"
          "vqmovnt.s32 %q[odd1], %q[y]"
          : [w] "=&w"(w), [x] "=&w"(x), [y] "=&w"(y), [m] "=&w"(m), [even0] "=&w"(even0),
            [odd0] "=&w"(odd0), [even1] "=&w"(even1), [odd1] "=&w"(odd1)
          : [p] "r"(parameters), [sums0] "r"(sums0), [sums1] "r"(sums1), [one] "r"(1),
            "m"(*(const int32_t(*)[32])parameters), "m"(*(const int32_t(*)[16])sums0),
            "m"(*(const int32_t(*)[16])sums1));
  microtvm_store16(to0, microtvm_bytes16(even0, odd0, zero_point, minimum, maximum));
  microtvm_store16(to1, microtvm_bytes16(even1, odd1, zero_point, minimum, maximum));
}

/* (left * factors + right * factor + constant) >> shift of 16 int8 each, saturated; no sum is beyond
 * 32 bits. `to` may be one of the others. */
static inline void microtvm_linear16(int8_t *to, const int8_t *left, const int8_t *right,
    microtvm_int32x4 factors, int32_t factor, int32_t constant, int32_t shift) {
  int32x4_t a, b, x, y;
  __asm__ volatile(
          "vldrb.s32 %q[a], [%[left]]\n\t"
          "vldrb.s32 %q[x], [%[right]]\n\t"
          MICROTVM_LINEAR4("a", "x", "", "b", "y", "4")
          MICROTVM_LINEAR4("b", "y", "vstrb.32 %q[a], [%[to]]\n\t", "a", "x", "8")
          MICROTVM_LINEAR4("a", "x", "vstrb.32 %q[b], [%[to], #4]\n\t", "b", "y", "12")
          MICROTVM_LINEAR_SUM4("b", "y", "vstrb.32 %q[a], [%[to], #8]\n\t")
          "vqshl.s32 %q[b], %[raised]\n\t"
          "vshr.s32 %q[b], %q[b], #24\n\t"
          "vstrb.32 %q[b], [%[to], #12]"
          : [a] "=&w"(a), [b] "=&w"(b), [x] "=&w"(x), [y] "=&w"(y)
          : [to] "l"(to), [left] "l"(left), [right] "l"(right), [factors] "w"(factors),
            [factor] "r"(factor), [constant] "r"(constant), [raised] "r"(24 - shift)
          : "memory");
}

/* 16 int8 between the limits. */
static inline void microtvm_limit16(int8_t *values, int32_t minimum, int32_t maximum) {
  const int8x16_t raised = vmaxq_s8(vldrbq_s8(values), vdupq_n_s8((int8_t)minimum));
  vstrbq_s8(values, vminq_s8(raised, vdupq_n_s8((int8_t)maximum)));
}

#ifdef __cplusplus
}
#endif

#endif /* MICROTVM_HAS_HELIUM */

#endif /* TVMGEN_INTEGER_HELIUM_SEQUENCES_H_ */
