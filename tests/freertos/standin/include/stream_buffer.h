/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STANDIN_STREAM_BUFFER_H_
#define STANDIN_STREAM_BUFFER_H_

#include "FreeRTOS.h"

typedef StaticStreamBuffer_t *StreamBufferHandle_t;

StreamBufferHandle_t xStreamBufferCreateStatic(size_t size_bytes, size_t trigger_bytes,
                                               uint8_t *storage, StaticStreamBuffer_t *buffer);
size_t xStreamBufferSpacesAvailable(StreamBufferHandle_t buffer);
size_t xStreamBufferSendFromISR(StreamBufferHandle_t buffer, const void *data, size_t size_bytes,
                                BaseType_t *wakes_task);
size_t xStreamBufferReceive(StreamBufferHandle_t buffer, void *data, size_t size_bytes,
                            TickType_t ticks);

#endif /* STANDIN_STREAM_BUFFER_H_ */
