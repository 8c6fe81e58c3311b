/* SPDX-License-Identifier: Apache-2.0 */
/* Seconds as the platform's timer gives them, without arithmetic on floats: that would take 2 KB of
 * the compiler's library on CPUs that cannot do it. Internal to the runtime. */
#ifndef MICROTVM_SRC_SECONDS_H_
#define MICROTVM_SRC_SECONDS_H_

#include <stdint.h>

/* A number as the bits of an IEEE 754 double, which is what travels; the compiler's own may have
 * 32 bits. */
uint64_t MicroTVMDoubleBits(double number);

/* A time in nanoseconds, exact to 32 bits. 0 for what is negative; what is more than 2^32 seconds,
 * or no number, is 2^62. */
uint64_t MicroTVMNanoseconds(double seconds);

/* The mean of `count` times that add up to `nanoseconds`, in seconds, as the bits of an IEEE 754
 * double. `count` is 1 to 2^31, `nanoseconds` at most 2^62. */
uint64_t MicroTVMMeanSeconds(uint64_t nanoseconds, uint32_t count);

#endif /* MICROTVM_SRC_SECONDS_H_ */
