/* SPDX-License-Identifier: Apache-2.0 */
/* A buffer that is smaller than asked for, so that it is often full. */
#include "stream_buffer.h"

#include "task.h"

#define MOST_BYTES 4u

void vApplicationIdleHook(void);

StreamBufferHandle_t xStreamBufferCreateStatic(size_t size_bytes, size_t trigger_bytes,
                                               uint8_t *storage, StaticStreamBuffer_t *buffer) {
  configASSERT(size_bytes >= MOST_BYTES && trigger_bytes == 1);
  *buffer = (StaticStreamBuffer_t){storage, MOST_BYTES, 0, 0};
  return buffer;
}

size_t xStreamBufferSpacesAvailable(StreamBufferHandle_t buffer) {
  return buffer->size_bytes - (buffer->put - buffer->taken);
}

size_t xStreamBufferSendFromISR(StreamBufferHandle_t buffer, const void *data, size_t size_bytes,
                                BaseType_t *wakes_task) {
  size_t count = 0;
  while (count < size_bytes && xStreamBufferSpacesAvailable(buffer) > 0) {
    buffer->storage[buffer->put++ % buffer->size_bytes] = ((const uint8_t *)data)[count++];
  }
  *wakes_task = count > 0 ? pdTRUE : *wakes_task;
  return count;
}

size_t xStreamBufferReceive(StreamBufferHandle_t buffer, void *data, size_t size_bytes,
                            TickType_t ticks) {
  size_t count = 0;
  configASSERT(ticks == portMAX_DELAY);
  taskENTER_CRITICAL();
  while (buffer->put == buffer->taken) {
    vApplicationIdleHook(); /* where the idle task would run: an interrupt ends it, taken or not */
    taskEXIT_CRITICAL();
    taskENTER_CRITICAL();
  }
  while (count < size_bytes && buffer->put != buffer->taken) {
    ((uint8_t *)data)[count++] = buffer->storage[buffer->taken++ % buffer->size_bytes];
  }
  taskEXIT_CRITICAL();
  return count;
}
