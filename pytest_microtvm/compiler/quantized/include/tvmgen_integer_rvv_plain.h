/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of tvmgen_integer_rvv.h in plain C, for a CPU without RISC-V's vector extension: the
 * same bits. That header includes this one where it is needed.
 */
#include "tvmgen_integer_rvv.h"

#ifndef TVMGEN_INTEGER_RVV_PLAIN_H_
#define TVMGEN_INTEGER_RVV_PLAIN_H_

#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

static inline int8_t microtvm_output_of(
    int32_t sum, int32_t channel, const microtvm_layer *layer, const microtvm_outputs *how) {
  const int32_t total =
      (int32_t)(((uint32_t)sum << how->left) + (uint32_t)layer->starts[channel]);
  const int32_t shift = layer->shifts[channel];
  const int64_t product = (int64_t)total * layer->multipliers[channel];
  int64_t high = (product + (how->is_nearest ? INT64_C(1) << 30 : 0)) >> 31;
  high -= how->lower && high < 0;
  high += how->offset;
  high = high > INT32_MAX ? INT32_MAX : high < INT32_MIN ? INT32_MIN : high;
  high = ((high + ((INT64_C(1) << shift) >> 1)) >> shift) + how->zero_point;
  return (int8_t)(high < how->minimum ? how->minimum : high > how->maximum ? how->maximum : high);
}

/* The sums of 16 channels, or of those that are left. */
static inline void microtvm_outputs_of(int8_t *to, const int32_t *sums, int32_t channel,
    const microtvm_layer *layer, const microtvm_outputs *how) {
  for (int32_t n = 0; n < 16 && channel + n < layer->channels; ++n) {
    to[channel + n] = microtvm_output_of(sums[n], channel + n, layer, how);
  }
}

static inline void microtvm_convolve_pixel(int8_t *to, const int8_t *from, int32_t count,
    int32_t step, const microtvm_layer *layer, const microtvm_outputs *how) {
  for (int32_t channel = 0; channel < layer->channels; channel += 16) {
    const int32_t rest = layer->channels - channel;
    const int8_t *weights = layer->weights + channel;
    int32_t sums[16] = {0};
    for (int32_t tap = 0; tap < count; ++tap) {
      for (int32_t n = 0; n < 16 && n < rest; ++n) {
        sums[n] += from[tap * step] * weights[n];
      }
      weights += layer->channels;
    }
    microtvm_outputs_of(to, sums, channel, layer, how);
  }
}

static inline void microtvm_convolve1(int8_t *to, const int8_t *from, int32_t count,
    const microtvm_layer *layer, const microtvm_outputs *how) {
  microtvm_convolve_pixel(to, from, count, 1, layer, how);
}

static inline void microtvm_convolve2(int8_t *to, const int8_t *from, int32_t count,
    const microtvm_layer *layer, const microtvm_outputs *how) {
  for (int32_t p = 0; p < 2; ++p) {
    microtvm_convolve_pixel(to + p * layer->channels, from + p, count, 2, layer, how);
  }
}

static inline void microtvm_convolve3(int8_t *to, const int8_t *from, int32_t count,
    const microtvm_layer *layer, const microtvm_outputs *how) {
  for (int32_t p = 0; p < 3; ++p) {
    microtvm_convolve_pixel(to + p * layer->channels, from + p, count, 3, layer, how);
  }
}

static inline void microtvm_convolve6(int8_t *to, const int8_t *from, int32_t count,
    const microtvm_layer *layer, const microtvm_outputs *how) {
  for (int32_t p = 0; p < 6; ++p) {
    microtvm_convolve_pixel(to + p * layer->channels, from + p, count, 6, layer, how);
  }
}

static inline void microtvm_convolve_channels(int8_t *to, const int8_t *from, int32_t width,
    const microtvm_window *window, const microtvm_layer *layer, const microtvm_outputs *how) {
  for (int32_t channel = 0; channel < layer->channels; channel += 16) {
    const int32_t rest = layer->channels - channel;
    for (int32_t x = 0; x < width; ++x) {
      const int8_t *taps = from + x * window->stride + channel;
      const int8_t *weights = layer->weights + channel;
      int32_t sums[16] = {0};
      for (int32_t row = 0; row < window->rows; ++row) {
        for (int32_t column = 0; column < window->columns; ++column) {
          for (int32_t n = 0; n < 16 && n < rest; ++n) {
            sums[n] += taps[n] * weights[n];
          }
          taps += window->step;
          weights += layer->channels;
        }
        taps += window->next;
      }
      microtvm_outputs_of(to + x * layer->channels, sums, channel, layer, how);
    }
  }
}

static inline void microtvm_spread(
    int8_t *to, int32_t step, const int8_t *from, int32_t count) {
  for (int32_t n = 0; n < count; ++n) {
    to[n * step] = from[n];
  }
}

static inline void microtvm_fill(int8_t *to, int32_t step, int32_t value, int32_t count) {
  for (int32_t n = 0; n < count; ++n) {
    to[n * step] = (int8_t)value;
  }
}

static inline void microtvm_linear(int8_t *to, const int8_t *left, const int8_t *right,
    int32_t count, int32_t left_factor, int32_t right_factor, int32_t constant, int32_t shift,
    int32_t minimum, int32_t maximum) {
  for (int32_t n = 0; n < count; ++n) {
    const int32_t sum = constant + left[n] * left_factor + right[n] * right_factor;
    const int32_t value = sum >> shift;
    to[n] = (int8_t)(value < minimum ? minimum : value > maximum ? maximum : value);
  }
}

#ifdef __cplusplus
}
#endif

#endif /* TVMGEN_INTEGER_RVV_PLAIN_H_ */
