/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of tvmgen_integer_helium.h in plain C, for a CPU without Helium: the same bits. That
 * header includes this one where it is needed.
 */
#include "tvmgen_integer_helium.h"

#ifndef TVMGEN_INTEGER_HELIUM_PLAIN_H_
#define TVMGEN_INTEGER_HELIUM_PLAIN_H_

#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int8_t lane[16];
} microtvm_int8x16;

typedef struct {
  int32_t lane[4];
} microtvm_int32x4;

static inline microtvm_int8x16 microtvm_load_first(const int8_t *from, int32_t count) {
  microtvm_int8x16 result = {{0}};
  memcpy(result.lane, from, count < 16 ? (size_t)count : 16u);
  return result;
}

static inline microtvm_int8x16 microtvm_load16(const int8_t *from) {
  return microtvm_load_first(from, 16);
}

static inline void microtvm_store_first(int8_t *to, microtvm_int8x16 value, int32_t count) {
  memcpy(to, value.lane, count < 16 ? (size_t)count : 16u);
}

static inline void microtvm_store16(int8_t *to, microtvm_int8x16 value) {
  microtvm_store_first(to, value, 16);
}

static inline microtvm_int8x16 microtvm_all16(int32_t value) {
  microtvm_int8x16 result;
  memset(result.lane, value, 16);
  return result;
}

static inline void microtvm_scatter_first(
    int8_t *to, const uint8_t *places, microtvm_int8x16 value, int32_t count) {
  for (int32_t n = 0; n < 16 && n < count; ++n) {
    to[places[n]] = value.lane[n];
  }
}

static inline microtvm_int8x16 microtvm_gather16(const int8_t *from, const uint8_t *places) {
  microtvm_int8x16 result;
  for (int32_t n = 0; n < 16; ++n) {
    result.lane[n] = from[places[n]];
  }
  return result;
}

static inline void microtvm_store_woven(int8_t *to, microtvm_int8x16 a, microtvm_int8x16 b,
    microtvm_int8x16 c, microtvm_int8x16 d) {
  for (int32_t n = 0; n < 16; ++n) {
    to[4 * n] = a.lane[n];
    to[4 * n + 1] = b.lane[n];
    to[4 * n + 2] = c.lane[n];
    to[4 * n + 3] = d.lane[n];
  }
}

static inline int32_t microtvm_dot(int32_t sum, microtvm_int8x16 a, microtvm_int8x16 b) {
  int32_t products = 0;
  for (int32_t n = 0; n < 16; ++n) {
    products += a.lane[n] * b.lane[n];
  }
  return (int32_t)((uint32_t)sum + (uint32_t)products);
}

static inline int32_t microtvm_first_dot(microtvm_int8x16 a, microtvm_int8x16 b) {
  return microtvm_dot(0, a, b);
}

static inline microtvm_int8x16 microtvm_next16(const int8_t **from) {
  *from += 16;
  return microtvm_load16(*from - 16);
}

static inline void microtvm_accumulate(
    int32_t *sum, microtvm_int8x16 a, microtvm_int8x16 b, int first) {
  *sum = microtvm_dot(first ? 0 : *sum, a, b);
}

static inline microtvm_int32x4 microtvm_load4_first(const int32_t *from, int32_t count) {
  microtvm_int32x4 result = {{0}};
  memcpy(result.lane, from, 4u * (count < 4 ? (size_t)count : 4u));
  return result;
}

static inline microtvm_int32x4 microtvm_load4(const int32_t *from) {
  return microtvm_load4_first(from, 4);
}

static inline microtvm_int32x4 microtvm_int32_of(int32_t a, int32_t b, int32_t c, int32_t d) {
  const microtvm_int32x4 result = {{a, b, c, d}};
  return result;
}

static inline void microtvm_store4(int32_t *to, microtvm_int32x4 value) {
  memcpy(to, value.lane, sizeof(value.lane));
}

static inline microtvm_int32x4 microtvm_all4(int32_t value) {
  return microtvm_int32_of(value, value, value, value);
}

static inline microtvm_int32x4 microtvm_multiply_add4(
    microtvm_int32x4 a, microtvm_int32x4 b, int32_t c) {
  for (int32_t n = 0; n < 4; ++n) {
    a.lane[n] =
        (int32_t)((uint32_t)a.lane[n] * (uint32_t)b.lane[n] + (uint32_t)c);
  }
  return a;
}

static inline microtvm_int32x4 microtvm_add_product4(
    microtvm_int32x4 a, microtvm_int32x4 b, int32_t c) {
  for (int32_t n = 0; n < 4; ++n) {
    a.lane[n] = (int32_t)((uint32_t)a.lane[n] + (uint32_t)b.lane[n] * (uint32_t)c);
  }
  return a;
}

static inline microtvm_int32x4 microtvm_widen4(const int8_t *from) {
  return microtvm_int32_of(from[0], from[1], from[2], from[3]);
}

static inline microtvm_int32x4 microtvm_widen4_first(const int8_t *from, int32_t count) {
  microtvm_int32x4 result = {{0}};
  for (int32_t n = 0; n < 4 && n < count; ++n) {
    result.lane[n] = from[n];
  }
  return result;
}

static inline microtvm_int8x16 microtvm_gather_words(
    const int8_t *from, microtvm_int32x4 bytes) {
  microtvm_int8x16 result;
  for (int32_t n = 0; n < 4; ++n) {
    memcpy(result.lane + 4 * n, from + bytes.lane[n], 4);
  }
  return result;
}

static inline microtvm_int32x4 microtvm_add4(microtvm_int32x4 a, microtvm_int32x4 b) {
  for (int32_t n = 0; n < 4; ++n) {
    a.lane[n] = (int32_t)((uint32_t)a.lane[n] + (uint32_t)b.lane[n]);
  }
  return a;
}

static inline microtvm_int32x4 microtvm_add4_all(microtvm_int32x4 a, int32_t b) {
  return microtvm_add4(a, microtvm_int32_of(b, b, b, b));
}

static inline microtvm_int32x4 microtvm_subtract4(microtvm_int32x4 a, microtvm_int32x4 b) {
  for (int32_t n = 0; n < 4; ++n) {
    a.lane[n] = (int32_t)((uint32_t)a.lane[n] - (uint32_t)b.lane[n]);
  }
  return a;
}

static inline microtvm_int32x4 microtvm_shift_down8(microtvm_int32x4 value) {
  for (int32_t n = 0; n < 4; ++n) {
    value.lane[n] >>= 8;
  }
  return value;
}

static inline microtvm_int32x4 microtvm_scale4(microtvm_int32x4 value,
    microtvm_int32x4 multiplier, microtvm_int32x4 shift, int32_t rounding) {
  for (int32_t n = 0; n < 4; ++n) {
    const int32_t whole = (int8_t)(uint8_t)(shift.lane[n] & 255);
    const int32_t left = whole > 0 ? whole : 0;
    const int32_t right = left - whole;
    const int64_t product =
        (int64_t)(int32_t)((uint32_t)value.lane[n] << left) * multiplier.lane[n];
    const int32_t high =
        (int32_t)((product + (rounding == MICROTVM_SINGLE ? 0 : INT64_C(1) << 30)) >> 31);
    const int64_t sign = high < 0 && right > 0 &&
        (rounding == MICROTVM_SHORT || rounding == MICROTVM_ANY_SHIFT);
    const int64_t half = right > 0 ? INT64_C(1) << (right - 1) : 0;
    value.lane[n] = (int32_t)((high - sign + half) >> right);
  }
  return value;
}

static inline microtvm_int32x4 microtvm_scale4_all(
    microtvm_int32x4 value, int32_t multiplier, int32_t shift, int32_t rounding) {
  return microtvm_scale4(value,
      microtvm_int32_of(multiplier, multiplier, multiplier, multiplier),
      microtvm_int32_of(shift, shift, shift, shift), rounding);
}

static inline microtvm_int32x4 microtvm_line4(
    microtvm_int32x4 value, microtvm_int32x4 multiplier, int32_t shift) {
  for (int32_t n = 0; n < 4; ++n) {
    const int64_t high = ((int64_t)value.lane[n] * multiplier.lane[n]) >> 31;
    value.lane[n] = (int32_t)((high + (INT64_C(1) << (shift - 1))) >> shift);
  }
  return value;
}

static inline microtvm_int32x4 microtvm_line4_all(
    microtvm_int32x4 value, int32_t multiplier, int32_t shift) {
  return microtvm_line4(
      value, microtvm_int32_of(multiplier, multiplier, multiplier, multiplier), shift);
}

static inline int32_t microtvm_output(
    int32_t value, int32_t zero_point, int32_t minimum, int32_t maximum) {
  const int64_t moved = (int64_t)value + zero_point;
  return (int32_t)(moved < minimum ? minimum : moved > maximum ? maximum : moved);
}

static inline microtvm_int32x4 microtvm_output4(
    microtvm_int32x4 value, int32_t zero_point, int32_t minimum, int32_t maximum) {
  for (int32_t n = 0; n < 4; ++n) {
    value.lane[n] = microtvm_output(value.lane[n], zero_point, minimum, maximum);
  }
  return value;
}

static inline microtvm_int8x16 microtvm_output16(microtvm_int32x4 v0, microtvm_int32x4 v1,
    microtvm_int32x4 v2, microtvm_int32x4 v3, int32_t zero_point, int32_t minimum,
    int32_t maximum) {
  const microtvm_int32x4 all[4] = {v0, v1, v2, v3};
  microtvm_int8x16 result;
  for (int32_t n = 0; n < 16; ++n) {
    result.lane[n] =
        (int8_t)microtvm_output(all[n % 4].lane[n / 4], zero_point, minimum, maximum);
  }
  return result;
}

static inline void microtvm_store4_first(int8_t *to, microtvm_int32x4 value, int32_t count) {
  for (int32_t n = 0; n < 4 && n < count; ++n) {
    to[n] = (int8_t)(uint8_t)(value.lane[n] & 255);
  }
}

static inline void microtvm_scatter4(
    int8_t *to, microtvm_int32x4 places, microtvm_int32x4 value) {
  for (int32_t n = 0; n < 4; ++n) {
    to[places.lane[n]] = (int8_t)(uint8_t)(value.lane[n] & 255);
  }
}

static inline void microtvm_line16(int8_t *to, const int32_t *sums, const int32_t *parameters,
    int32_t unit, int32_t shift, int32_t zero_point, int32_t minimum, int32_t maximum) {
  microtvm_int32x4 scaled[4];
  for (int32_t n = 0; n < 4; ++n) {
    const microtvm_int32x4 total = microtvm_add_product4(
        microtvm_load4(parameters + 4 * n), microtvm_load4(sums + 4 * n), unit);
    scaled[n] = microtvm_line4(total, microtvm_load4(parameters + 16 + 4 * n), shift);
  }
  microtvm_store16(to, microtvm_output16(scaled[0], scaled[1], scaled[2], scaled[3], zero_point,
      minimum, maximum));
}

#define MICROTVM_LINE16 microtvm_line16

static inline void microtvm_last(int32_t first, int32_t count, const int8_t *x, const int8_t *y,
    const int8_t *weights, int32_t *a, int32_t *b) {
  const microtvm_int8x16 factors = microtvm_load_first(weights, count);
  *a = microtvm_dot(first ? 0 : *a, microtvm_load_first(x, count), factors);
  *b = microtvm_dot(first ? 0 : *b, microtvm_load_first(y, count), factors);
}

#define MICROTVM_LAST2(first, count, x, y, weights, a0, b0, a1, b1)              \
  do {                                                                           \
    microtvm_last(first, count, x, y, weights, &(a0), &(b0));                    \
    microtvm_last(first, count, x, y, (weights) + (count), &(a1), &(b1));        \
  } while (0)

#define MICROTVM_LAST3(first, count, x, y, weights, a0, b0, a1, b1, a2, b2)      \
  do {                                                                           \
    MICROTVM_LAST2(first, count, x, y, weights, a0, b0, a1, b1);                 \
    microtvm_last(first, count, x, y, (weights) + 2 * (count), &(a2), &(b2));    \
  } while (0)

#define MICROTVM_LINE_BYTES4(result, value, multiplier, shift) \
  ((result) = microtvm_output4(microtvm_line4_all(value, multiplier, shift), 0, -128, 127))

static inline void microtvm_linear16(int8_t *to, const int8_t *left, const int8_t *right,
    microtvm_int32x4 factors, int32_t factor, int32_t constant, int32_t shift) {
  for (int32_t n = 0; n < 16; ++n) {
    const uint32_t sum = (uint32_t)left[n] * (uint32_t)factors.lane[0] +
        (uint32_t)right[n] * (uint32_t)factor + (uint32_t)constant;
    to[n] = (int8_t)microtvm_output((int32_t)sum >> shift, 0, -128, 127);
  }
}

static inline void microtvm_limit16(int8_t *values, int32_t minimum, int32_t maximum) {
  for (int32_t n = 0; n < 16; ++n) {
    values[n] = (int8_t)microtvm_output(values[n], 0, minimum, maximum);
  }
}

#ifdef __cplusplus
}
#endif

#endif /* TVMGEN_INTEGER_HELIUM_PLAIN_H_ */
