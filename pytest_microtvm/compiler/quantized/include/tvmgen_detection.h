/* SPDX-License-Identifier: Apache-2.0 */
/* Boxes of an object detector out of its encodings, without those that overlap better ones. */

#ifndef TVMGEN_DETECTION_H_
#define TVMGEN_DETECTION_H_

#include <math.h>
#include <stdint.h>

#include "tvmgen_integer.h"

/* A box: least y and x, greatest y and x. An anchor: y and x of the middle, height and width. */
static inline void microtvm_decode_box(const float *encoded,
                                       const TVMGEN_FLASH float *anchor, const float *scales,
                                       float *box) {
  const float y = encoded[0] / scales[0] * anchor[2] + anchor[0];
  const float x = encoded[1] / scales[1] * anchor[3] + anchor[1];
  const float height = 0.5f * expf(encoded[2] / scales[2]) * anchor[2];
  const float width = 0.5f * expf(encoded[3] / scales[3]) * anchor[3];
  box[0] = y - height;
  box[1] = x - width;
  box[2] = y + height;
  box[3] = x + width;
}

/* What two boxes share, as a part of what both cover. */
static inline float microtvm_overlap(const float *a, const float *b) {
  const float area_a = (a[2] - a[0]) * (a[3] - a[1]);
  const float area_b = (b[2] - b[0]) * (b[3] - b[1]);
  if (area_a <= 0.0f || area_b <= 0.0f) {
    return 0.0f;
  }
  const float bottom = a[2] < b[2] ? a[2] : b[2];
  const float top = a[0] > b[0] ? a[0] : b[0];
  const float right = a[3] < b[3] ? a[3] : b[3];
  const float left = a[1] > b[1] ? a[1] : b[1];
  const float height = bottom - top > 0.0f ? bottom - top : 0.0f;
  const float width = right - left > 0.0f ? right - left : 0.0f;
  return height * width / (area_a + area_b - height * width);
}

/* Numbers of the best boxes, the best first, of which none overlaps a better one too much; how many
   there are. Of equal scores the first one is better. */
static inline int32_t microtvm_best_boxes(const float *boxes, const float *scores, int32_t count,
                                          float least_score, float most_overlap, int32_t most,
                                          uint8_t *is_left, int32_t *best) {
  int32_t left = 0;
  for (int32_t i = 0; i < count; ++i) {
    is_left[i] = scores[i] >= least_score;
    left += is_left[i];
  }
  int32_t found = 0;
  while (found < most && left > 0) {
    int32_t next = -1;
    for (int32_t i = 0; i < count; ++i) {
      if (is_left[i] && (next < 0 || scores[i] > scores[next])) {
        next = i;
      }
    }
    best[found++] = next;
    is_left[next] = 0;
    --left;
    for (int32_t i = 0; i < count; ++i) {
      if (is_left[i] && microtvm_overlap(boxes + 4 * next, boxes + 4 * i) > most_overlap) {
        is_left[i] = 0;
        --left;
      }
    }
  }
  return found;
}

#endif /* TVMGEN_DETECTION_H_ */
