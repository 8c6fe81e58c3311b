/* SPDX-License-Identifier: Apache-2.0 */
/* Of Zephyr's ring buffers, what generated projects use. */
#ifndef STANDIN_RING_BUFFER_H_
#define STANDIN_RING_BUFFER_H_

#include <stdint.h>

struct ring_buf {
  uint8_t *buffer;
  uint32_t size;
  uint32_t put; /* all bytes ever put and taken, modulo 2^32 */
  uint32_t taken;
};

#define RING_BUF_DECLARE(name, bytes) \
  static uint8_t name##_bytes[bytes]; \
  static struct ring_buf name = {name##_bytes, bytes, 0, 0}

uint32_t ring_buf_space_get(struct ring_buf *ring);
uint32_t ring_buf_put_claim(struct ring_buf *ring, uint8_t **data, uint32_t size);
int ring_buf_put_finish(struct ring_buf *ring, uint32_t size);
uint32_t ring_buf_get(struct ring_buf *ring, uint8_t *data, uint32_t size);

#endif /* STANDIN_RING_BUFFER_H_ */
