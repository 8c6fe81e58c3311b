/* SPDX-License-Identifier: Apache-2.0 */
/* What the operators of TensorFlow Lite Micro's audio front end compute, bit for bit. */

#ifndef TVMGEN_SIGNAL_H_
#define TVMGEN_SIGNAL_H_

#include <stdint.h>

/* How many bits a number takes: 0 for 0, 32 for 2**31 and more. */
static inline int32_t microtvm_bits(uint32_t value) {
  int32_t bits = 0;
  while (value != 0u) {
    value >>= 1;
    ++bits;
  }
  return bits;
}

/* The square root, rounded; numbers of less than 32 bits have one of 16 at the most. */
static inline uint32_t microtvm_rounded_root(uint64_t value) {
  uint64_t root = 0u;
  uint64_t rest = value;
  const uint64_t most = (value >> 32) == 0u ? UINT64_C(0xffff) : UINT64_C(0xffffffff);
  for (uint64_t bit = UINT64_C(1) << 62; bit != 0u; bit >>= 2) {
    if (rest >= root + bit) {
      rest -= root + bit;
      root = (root >> 1) + bit;
    } else {
      root >>= 1;
    }
  }
  return (uint32_t)(rest > root && root != most ? root + 1u : root);
}

/* The natural logarithm of a number above 0, times `scale`. `curve` has what log2(1 + x) is above
   x, at 129 places from 0 to 1, in steps of 2**-16. */
static inline uint32_t microtvm_scaled_log(uint32_t value, uint32_t scale, const int16_t *curve) {
  const uint32_t whole = (uint32_t)microtvm_bits(value) - 1u;
  const uint32_t above = value - (UINT32_C(1) << whole);
  const int32_t part = (int32_t)(whole < 16u ? above << (16u - whole) : above >> (whole - 16u));
  const int32_t segment = part >> 9;
  const int32_t slope = curve[segment + 1] - curve[segment];
  const int32_t bend = curve[segment] + (slope * (part - segment * 512)) / 65536 -
                       (slope * (part - segment * 512) % 65536 < 0 ? 1 : 0);
  const uint32_t log2 = (whole << 16) + (uint32_t)(part + bend);
  /* 45426 is the logarithm of 2 in steps of 2**-16. */
  const uint32_t natural = (uint32_t)((UINT64_C(45426) * log2 + 32768u) >> 16);
  return (scale * natural + 32768u) >> 16;
}

/* A function of all 32-bit numbers by parabolas, one for each power of 2: 3 numbers of `table`. */
static inline int16_t microtvm_wide_function(uint32_t value, const int16_t *table) {
  if (value <= 2u) {
    return table[value];
  }
  const int32_t bits = microtvm_bits(value);
  const int16_t *parabola = table + 4 * bits - 6;
  const uint32_t moved = bits < 11 ? value << (11 - bits) : value >> (bits - 11);
  const int32_t part = (int32_t)(moved & 0x3ffu);
  const int32_t square = parabola[2] * part;
  int64_t result = (square >= 0 ? square : square - 31) / 32;
  result = (result + parabola[1] * 32) * part + 16384;
  result = (result >= 0 ? result : result - 32767) / 32768 + parabola[0];
  return (int16_t)result;
}

#endif /* TVMGEN_SIGNAL_H_ */
