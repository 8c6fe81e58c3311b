/* SPDX-License-Identifier: Apache-2.0 */
/* Seconds as IEEE 754 numbers, by arithmetic on integers alone. */
#include "seconds.h"

#include <float.h>

#include "memory.h"

#define NS_PER_S 1000000000u

/* IEEE 754, 64 bits: sign, exponent, and the fraction behind a leading 1. */
#define FRACTION_BITS 52u
#define EXPONENT_MASK 0x7FFu
#define EXPONENT_BIAS 1023u

#if DBL_MANT_DIG == 53
_Static_assert(sizeof(double) == sizeof(uint64_t), "a double has 64 bits");

uint64_t MicroTVMDoubleBits(double number) {
  uint64_t bits;
  memcpy(&bits, &number, sizeof(bits));
  return bits;
}
#else
_Static_assert(sizeof(double) == sizeof(uint32_t) && DBL_MANT_DIG == 24, "a double has 32 bits");

#define SMALL_FRACTION_BITS 23u
#define SMALL_EXPONENT_MASK 0xFFu
#define SMALL_EXPONENT_BIAS 127u

uint64_t MicroTVMDoubleBits(double number) {
  uint32_t bits;
  memcpy(&bits, &number, sizeof(bits));
  const uint64_t sign = (uint64_t)(bits >> 31) << 63;
  const uint64_t fraction = bits & ((UINT32_C(1) << SMALL_FRACTION_BITS) - 1u);
  uint32_t exponent = (bits >> SMALL_FRACTION_BITS) & SMALL_EXPONENT_MASK;
  if (exponent == 0) { /* 0, or less than any time that a timer tells */
    return sign;
  }
  exponent = exponent == SMALL_EXPONENT_MASK ? EXPONENT_MASK
                                             : exponent + EXPONENT_BIAS - SMALL_EXPONENT_BIAS;
  return sign | (uint64_t)exponent << FRACTION_BITS |
         fraction << (FRACTION_BITS - SMALL_FRACTION_BITS);
}
#endif

uint64_t MicroTVMNanoseconds(double seconds) {
  /* The 32 leading bits are a whole number of 2^(exponent - bias - 31) seconds. */
  const uint32_t no_shift = EXPONENT_BIAS + 31u;
  const uint64_t bits = MicroTVMDoubleBits(seconds);
  const uint32_t exponent = (uint32_t)(bits >> FRACTION_BITS) & EXPONENT_MASK;
  const uint32_t leading = UINT32_C(1) << 31 | (uint32_t)(bits >> (FRACTION_BITS - 31u));
  const uint64_t nanoseconds = (uint64_t)leading * NS_PER_S;
  if (bits >> 63 != 0 || exponent + 63u < no_shift) {
    return 0;
  }
  if (exponent > no_shift) {
    return (uint64_t)1 << 62;
  }
  return nanoseconds >> (no_shift - exponent);
}

uint64_t MicroTVMMeanSeconds(uint64_t nanoseconds, uint32_t count) {
  uint64_t dividend = nanoseconds;
  uint64_t divisor = (uint64_t)count * NS_PER_S; /* below 2^61 */
  uint64_t quotient = 0;
  uint32_t exponent = EXPONENT_BIAS;
  if (nanoseconds == 0) {
    return 0;
  }
  /* Bring the quotient to at least 1 and less than 2, then take it bit by bit. */
  while (dividend < divisor) {
    dividend <<= 1;
    --exponent;
  }
  while (dividend - divisor >= divisor) {
    divisor <<= 1;
    ++exponent;
  }
  for (uint32_t i = 0; i <= FRACTION_BITS; ++i) {
    quotient <<= 1;
    if (dividend >= divisor) {
      dividend -= divisor;
      quotient |= 1u;
    }
    dividend <<= 1;
  }
  return (uint64_t)exponent << FRACTION_BITS | (quotient & (((uint64_t)1 << FRACTION_BITS) - 1u));
}
