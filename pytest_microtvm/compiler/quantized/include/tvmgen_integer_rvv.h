/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions by RISC-V's vector extension (version 1.0; Zve32x is all that is needed), with a twin in
 * plain C that gives the same bits. Vectors are output channels, as many as the CPU has room for:
 * `vsetvli` tells, so that vectors may have any length.
 *
 * A statement of inline assembly computes all of some channels, because gcc 12 has neither types for
 * vectors nor names for their registers. It uses none of them by itself; compilers that do are told
 * which ones change.
 */
#ifndef TVMGEN_INTEGER_RVV_H_
#define TVMGEN_INTEGER_RVV_H_

#include <stdint.h>
#include <string.h>

/* Where a compiler has no libraries for the extension, as gcc 12 for 32 bits, its -march cannot name
 * it; -DMICROTVM_RVV=1 says then that the CPU has it. Other compilers than gcc get the plain C. */
#if defined(__riscv) && defined(__GNUC__) && !defined(__clang__) && \
    (defined(__riscv_vector) || (defined(MICROTVM_RVV) && MICROTVM_RVV))
#define MICROTVM_HAS_RVV 1
#else
#define MICROTVM_HAS_RVV 0
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* How sums become outputs, exactly as kernels/rvv/scaling.py has it:
 *
 *   high = ((sum << left) + start) * multiplier / 2**31, rounded to nearest or down
 *   if lower: negative ones less 1
 *   high + offset, held in int32; / 2**shift, rounded to nearest, halves up; + zero_point; clamped
 *
 * where start, multiplier and shift are those of the channel. */
typedef struct {
  int32_t left;
  int32_t is_nearest;
  int32_t lower;
  int32_t offset;
  int32_t zero_point;
  int32_t minimum;
  int32_t maximum;
} microtvm_outputs;

/* What a layer has of each channel. */
typedef struct {
  int32_t channels;
  const int8_t *weights; /* tap after tap, those of all channels side by side */
  const int32_t *starts;
  const int32_t *multipliers;
  const int8_t *shifts;
} microtvm_layer;

/* The taps of a kernel over single channels: rows and columns; bytes from a tap to the next of its
 * row, from the end of a row of taps to the next row, and from the taps of a pixel to its neighbor's. */
typedef struct {
  int32_t rows;
  int32_t columns;
  int32_t step;
  int32_t next;
  int32_t stride;
} microtvm_window;

#if MICROTVM_HAS_RVV

#if defined(__riscv_v_intrinsic)
#define MICROTVM_RVV_CHANGES                                                                     \
  "memory", "vl", "vtype", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10",    \
      "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", \
      "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31"
#else
#define MICROTVM_RVV_CHANGES "memory"
#endif

/* What tells an assembler of the extension that the compiler does not. */
#if defined(__riscv_vector)
#define MICROTVM_RVV_BEGIN ""
#define MICROTVM_RVV_END ""
#else
#define MICROTVM_RVV_BEGIN ".option push\n\t.option arch, +zve32x, +zicsr\n\t"
#define MICROTVM_RVV_END ".option pop"
#endif
#define MICROTVM_RVV_DOWN "csrwi vxrm, 2\n"

/* The sums of one, two or three pixels in groups of eight registers each, or of six in groups of four;
 * v0 to v7 are for all else. F is what is done to the sums of pixel p, which begin at register r. */
#define MICROTVM_RVV_1(F) F(8, 0)
#define MICROTVM_RVV_2(F) F(8, 0) F(16, 1)
#define MICROTVM_RVV_3(F) F(8, 0) F(16, 1) F(24, 2)
#define MICROTVM_RVV_6(F) F(8, 0) F(12, 1) F(16, 2) F(20, 3) F(24, 4) F(28, 5)

#define MICROTVM_RVV_ZERO(r, p) "vmv.v.i v" #r ", 0\n\t"
#define MICROTVM_RVV_LOAD(r, p) "lb %[x" #p "], " #p "(%[taps])\n\t"
#define MICROTVM_RVV_PRODUCT(r, p) "vwmacc.vx v" #r ", %[x" #p "], v4\n\t"
#define MICROTVM_RVV_PRODUCTS(r, p)         \
  "vle8.v v2, (%[x" #p "])\n\t"             \
  "add %[x" #p "], %[x" #p "], %[step]\n\t" \
  "vsext.vf2 v0, v2\n\t"                    \
  "vwmacc.vv v" #r ", v0, v4\n\t"
#define MICROTVM_RVV_NEXT_ROW(r, p) "add %[x" #p "], %[x" #p "], %[next]\n\t"
#define MICROTVM_RVV_LEFT(r, p) "vsll.vx v" #r ", v" #r ", %[left]\n\t"
#define MICROTVM_RVV_START(r, p) "vadd.vv v" #r ", v" #r ", v0\n\t"
#define MICROTVM_RVV_HIGH(r, p) "vsmul.vv v" #r ", v" #r ", v0\n\t"
#define MICROTVM_RVV_LOWER(r, p) "vsra.vi v0, v" #r ", 31\n\tvadd.vv v" #r ", v" #r ", v0\n\t"
#define MICROTVM_RVV_OFFSET(r, p) "vsadd.vx v" #r ", v" #r ", %[offset]\n\t"
#define MICROTVM_RVV_RIGHT(r, p) "vssra.vv v" #r ", v" #r ", v0\n\t"
#define MICROTVM_RVV_MOVE(r, p) "vadd.vx v" #r ", v" #r ", %[zero_point]\n\t"
#define MICROTVM_RVV_NARROW(r, p) "vnclip.wi v" #r ", v" #r ", 0\n\t"
#define MICROTVM_RVV_CLAMP(r, p) \
  "vmax.vx v" #r ", v" #r ", %[minimum]\n\tvmin.vx v" #r ", v" #r ", %[maximum]\n\t"
#define MICROTVM_RVV_STORE(r, p) "vse8.v v" #r ", (%[to])\n\tadd %[to], %[to], %[channels]\n\t"

/* The statement of a function: `sums` adds the products. `all` is one of the lists above, m32, m16 and
 * m8 the groups of registers for elements of so many bits, and `shift_bytes` the end of the group at
 * v0 that bytes take. */
#define MICROTVM_RVV_TEXT(sums, all, m32, m16, m8, shift_bytes)           \
  MICROTVM_RVV_BEGIN                                                      \
  "vsetvli %[n], %[rest], e32, " m32 ", ta, ma\n\t" all(MICROTVM_RVV_ZERO) \
  "vsetvli zero, %[n], e16, " m16 ", ta, ma\n" sums                       \
  "vsetvli zero, %[n], e32, " m32 ", ta, ma\n\t"                          \
  "vle32.v v0, (%[starts])\n\t" all(MICROTVM_RVV_LEFT)                    \
  "csrw vxrm, %[rounding]\n\t" all(MICROTVM_RVV_START)                    \
  "vle32.v v0, (%[multipliers])\n\t" all(MICROTVM_RVV_HIGH)               \
  "beqz %[lower], 3f\n\t" all(MICROTVM_RVV_LOWER)                         \
  "3:\n\t"                                                                \
  "vle8.v v" shift_bytes ", (%[shifts])\n\t" all(MICROTVM_RVV_OFFSET)     \
  "csrwi vxrm, 0\n\t"                                                     \
  "vsext.vf4 v0, v" shift_bytes "\n\t" all(MICROTVM_RVV_RIGHT)            \
  all(MICROTVM_RVV_MOVE)                                                  \
  "vsetvli zero, %[n], e16, " m16 ", ta, ma\n\t" all(MICROTVM_RVV_NARROW) \
  "vsetvli zero, %[n], e8, " m8 ", ta, ma\n\t" all(MICROTVM_RVV_NARROW)   \
  all(MICROTVM_RVV_CLAMP) all(MICROTVM_RVV_STORE)                         \
  MICROTVM_RVV_END

/* Its operands; those before and after differ between functions. */
#define MICROTVM_RVV_RESULTS [to] "+r"(at), [weights] "+r"(weights), [n] "=&r"(n)
#define MICROTVM_RVV_GIVEN                                                             \
  [rest] "r"((intptr_t)layer->channels - channel), [channels] "r"((intptr_t)layer->channels), \
      [starts] "r"(layer->starts + channel),                                           \
      [multipliers] "r"(layer->multipliers + channel),                                 \
      [shifts] "r"(layer->shifts + channel), [left] "r"((intptr_t)how->left),          \
      [rounding] "r"((intptr_t)(how->is_nearest ? 0 : 2)),                             \
      [lower] "r"((intptr_t)how->lower), [offset] "r"((intptr_t)how->offset),          \
      [zero_point] "r"((intptr_t)how->zero_point),                                     \
      [minimum] "r"((intptr_t)how->minimum), [maximum] "r"((intptr_t)how->maximum)

/* A tap of all pixels after the other, and the weights of that tap. */
#define MICROTVM_RVV_TAPS(all, pixels)          \
  "1:\n\t"                                      \
  "vle8.v v2, (%[weights])\n\t"                 \
  all(MICROTVM_RVV_LOAD)                        \
  "add %[weights], %[weights], %[channels]\n\t" \
  "addi %[taps], %[taps], " pixels "\n\t"       \
  "vsext.vf2 v4, v2\n\t"                        \
  all(MICROTVM_RVV_PRODUCT)                     \
  "bltu %[taps], %[end], 1b\n\t"

#define MICROTVM_RVV_CONVOLVE(pixels, all, m32, m16, m8, shift_bytes)                       \
  static inline void microtvm_convolve##pixels(int8_t *to, const int8_t *from, int32_t count, \
      const microtvm_layer *layer, const microtvm_outputs *how) {                          \
    intptr_t n = 0;                                                                        \
    for (intptr_t channel = 0; channel < layer->channels; channel += n) {                  \
      int8_t *at = to + channel;                                                           \
      const int8_t *weights = layer->weights + channel;                                    \
      const int8_t *taps = from;                                                           \
      intptr_t x0, x1, x2, x3, x4, x5;                                                     \
      __asm__ volatile(MICROTVM_RVV_TEXT(                                                  \
          MICROTVM_RVV_TAPS(all, #pixels), all, m32, m16, m8, shift_bytes)                 \
                       : MICROTVM_RVV_RESULTS, [taps] "+r"(taps), [x0] "=&r"(x0),          \
                       [x1] "=&r"(x1), [x2] "=&r"(x2), [x3] "=&r"(x3), [x4] "=&r"(x4),     \
                       [x5] "=&r"(x5)                                                      \
                       : MICROTVM_RVV_GIVEN, [end] "r"(from + (intptr_t)count * pixels)    \
                       : MICROTVM_RVV_CHANGES);                                            \
    }                                                                                      \
  }

/* The outputs of some pixels beside each other, all channels of each. `from` has `count` taps, each of
 * all pixels side by side. */
MICROTVM_RVV_CONVOLVE(1, MICROTVM_RVV_1, "m8", "m4", "m2", "6")
MICROTVM_RVV_CONVOLVE(2, MICROTVM_RVV_2, "m8", "m4", "m2", "6")
MICROTVM_RVV_CONVOLVE(3, MICROTVM_RVV_3, "m8", "m4", "m2", "6")
MICROTVM_RVV_CONVOLVE(6, MICROTVM_RVV_6, "m4", "m2", "m1", "3")

#define MICROTVM_RVV_WINDOW(all)                \
  "1:\n\t"                                      \
  "lw %[column], %[columns]\n"                  \
  "2:\n\t"                                      \
  "vle8.v v6, (%[weights])\n\t"                 \
  "add %[weights], %[weights], %[channels]\n\t" \
  "addi %[column], %[column], -1\n\t"           \
  "vsext.vf2 v4, v6\n\t"                        \
  all(MICROTVM_RVV_PRODUCTS)                    \
  "bnez %[column], 2b\n\t"                      \
  "addi %[row], %[row], -1\n\t"                 \
  all(MICROTVM_RVV_NEXT_ROW)                    \
  "bnez %[row], 1b\n\t"

#define MICROTVM_RVV_DEPTHWISE(pixels, all)                                                \
  static inline intptr_t microtvm_rvv_depthwise##pixels(int8_t *at, const int8_t *x0,       \
      intptr_t channel, const microtvm_window *window, const microtvm_layer *layer,        \
      const microtvm_outputs *how) {                                                       \
    intptr_t n = 0, column = 0, row = window->rows;                                        \
    const int8_t *x1 = x0 + window->stride;                                                \
    const int8_t *x2 = x1 + window->stride;                                                \
    const int8_t *weights = layer->weights + channel;                                      \
    __asm__ volatile(MICROTVM_RVV_TEXT(                                                    \
        MICROTVM_RVV_WINDOW(all), all, "m8", "m4", "m2", "6")                              \
                     : MICROTVM_RVV_RESULTS, [x0] "+r"(x0), [x1] "+r"(x1), [x2] "+r"(x2),  \
                     [row] "+r"(row), [column] "=&r"(column)                               \
                     : MICROTVM_RVV_GIVEN, [step] "r"((intptr_t)window->step),             \
                     [next] "r"((intptr_t)window->next), [columns] "m"(window->columns)    \
                     : MICROTVM_RVV_CHANGES);                                              \
    return n;                                                                              \
  }

MICROTVM_RVV_DEPTHWISE(1, MICROTVM_RVV_1)
MICROTVM_RVV_DEPTHWISE(3, MICROTVM_RVV_3)

/* A row of outputs, each channel of its own; `from` is the first tap of the first pixel. */
static inline void microtvm_convolve_channels(int8_t *to, const int8_t *from, int32_t width,
    const microtvm_window *window, const microtvm_layer *layer, const microtvm_outputs *how) {
  intptr_t n = 0;
  for (intptr_t channel = 0; channel < layer->channels; channel += n) {
    int8_t *at = to + channel;
    const int8_t *taps = from + channel;
    int32_t x = 0;
    for (; x + 3 <= width; x += 3) {
      n = microtvm_rvv_depthwise3(at, taps, channel, window, layer, how);
      at += 3 * layer->channels;
      taps += 3 * window->stride;
    }
    for (; x < width; ++x) {
      n = microtvm_rvv_depthwise1(at, taps, channel, window, layer, how);
      at += layer->channels;
      taps += window->stride;
    }
  }
}

/* As many bytes at a time as eight registers hold: `each` is done for them, behind `first`. */
#define MICROTVM_RVV_BYTES(first, each)                                                 \
  __asm__ volatile(MICROTVM_RVV_BEGIN first                                             \
                   "1:\n\t"                                                             \
                   "vsetvli %[n], %[rest], e8, m8, ta, ma\n\t" each                     \
                   "sub %[rest], %[rest], %[n]\n\t"                                     \
                   "mul %[bytes], %[n], %[step]\n\t"                                    \
                   "add %[from], %[from], %[n]\n\t"                                     \
                   "add %[to], %[to], %[bytes]\n\t"                                     \
                   "bnez %[rest], 1b\n\t"                                               \
                   MICROTVM_RVV_END                                                     \
                   : [to] "+r"(to), [from] "+r"(from), [rest] "+r"(rest), [n] "=&r"(n), \
                   [bytes] "=&r"(bytes)                                                 \
                   : [step] "r"((intptr_t)step), [value] "r"((intptr_t)value)           \
                   : MICROTVM_RVV_CHANGES)

/* `count` bytes, at least one, each `step` bytes from the one before it. */
static inline void microtvm_spread(
    int8_t *to, int32_t step, const int8_t *from, int32_t count) {
  const int32_t value = 0;
  intptr_t rest = count, n = 0, bytes = 0;
  if (step == 1) {
    MICROTVM_RVV_BYTES("", "vle8.v v0, (%[from])\n\tvse8.v v0, (%[to])\n\t");
  } else {
    MICROTVM_RVV_BYTES("", "vle8.v v0, (%[from])\n\tvsse8.v v0, (%[to]), %[step]\n\t");
  }
}

/* The same value `count` times, likewise. */
static inline void microtvm_fill(int8_t *to, int32_t step, int32_t value, int32_t count) {
  const int8_t *from = to;
  intptr_t rest = count, n = 0, bytes = 0;
  MICROTVM_RVV_BYTES("vsetvli %[n], zero, e8, m8, ta, ma\n\tvmv.v.x v0, %[value]\n",
      "vsse8.v v0, (%[to]), %[step]\n\t");
}

/* (left * left_factor + right * right_factor + constant) >> shift, clamped; int32 holds all of it. */
static inline void microtvm_linear(int8_t *to, const int8_t *left, const int8_t *right,
    int32_t count, int32_t left_factor, int32_t right_factor, int32_t constant, int32_t shift,
    int32_t minimum, int32_t maximum) {
  intptr_t rest = count, n = 0;
  __asm__ volatile(MICROTVM_RVV_BEGIN MICROTVM_RVV_DOWN
                   "1:\n\t"
                   "vsetvli %[n], %[rest], e32, m8, ta, ma\n\t"
                   "vle8.v v6, (%[left])\n\t"
                   "vle8.v v22, (%[right])\n\t"
                   "vsext.vf4 v0, v6\n\t"
                   "vsext.vf4 v16, v22\n\t"
                   "vmul.vx v0, v0, %[left_factor]\n\t"
                   "vmacc.vx v0, %[right_factor], v16\n\t"
                   "vadd.vx v0, v0, %[constant]\n\t"
                   "vsetvli zero, %[n], e16, m4, ta, ma\n\t"
                   "vnclip.wx v0, v0, %[shift]\n\t"
                   "vsetvli zero, %[n], e8, m2, ta, ma\n\t"
                   "vnclip.wi v0, v0, 0\n\t"
                   "vmax.vx v0, v0, %[minimum]\n\t"
                   "vmin.vx v0, v0, %[maximum]\n\t"
                   "vse8.v v0, (%[to])\n\t"
                   "sub %[rest], %[rest], %[n]\n\t"
                   "add %[left], %[left], %[n]\n\t"
                   "add %[right], %[right], %[n]\n\t"
                   "add %[to], %[to], %[n]\n\t"
                   "bnez %[rest], 1b\n\t"
                   MICROTVM_RVV_END
                   : [to] "+r"(to), [left] "+r"(left), [right] "+r"(right), [rest] "+r"(rest),
                   [n] "=&r"(n)
                   : [left_factor] "r"((intptr_t)left_factor),
                   [right_factor] "r"((intptr_t)right_factor), [constant] "r"((intptr_t)constant),
                   [shift] "r"((intptr_t)shift), [minimum] "r"((intptr_t)minimum),
                   [maximum] "r"((intptr_t)maximum)
                   : MICROTVM_RVV_CHANGES);
}

#else

#include "tvmgen_integer_rvv_plain.h"

#endif

/* As memcpy and memset, of at least one byte. */
static inline void microtvm_vector_copy(int8_t *to, const int8_t *from, int32_t count) {
  microtvm_spread(to, 1, from, count);
}

static inline void microtvm_vector_fill(int8_t *to, int32_t value, int32_t count) {
  microtvm_fill(to, 1, value, count);
}

#ifdef __cplusplus
}
#endif

#endif /* TVMGEN_INTEGER_RVV_H_ */
