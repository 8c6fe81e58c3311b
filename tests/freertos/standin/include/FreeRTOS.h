/* SPDX-License-Identifier: Apache-2.0 */
/* Of FreeRTOS, what generated projects use, for one task on a Cortex-M3. */
#ifndef STANDIN_FREERTOS_H_
#define STANDIN_FREERTOS_H_

#include <stddef.h>
#include <stdint.h>

#include "FreeRTOSConfig.h"

#if configSUPPORT_STATIC_ALLOCATION != 1 || configSUPPORT_DYNAMIC_ALLOCATION != 0
#error "projects of ours have no heap"
#endif

#include "portmacro.h"

#define pdFALSE ((BaseType_t)0)
#define pdTRUE ((BaseType_t)1)

typedef void (*TaskFunction_t)(void *context);

typedef struct {
  TaskFunction_t function;
  void *context;
  const char *name;
  StackType_t *stack;
  uint32_t stack_words;
} StaticTask_t;

typedef struct {
  uint8_t *storage;
  size_t size_bytes;
  volatile size_t put; /* all bytes ever put and taken */
  volatile size_t taken;
} StaticStreamBuffer_t;

#endif /* STANDIN_FREERTOS_H_ */
