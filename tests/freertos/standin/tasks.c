/* SPDX-License-Identifier: Apache-2.0 */
/* One task, which runs from the start of the scheduler on. */
#include "task.h"

#include <string.h>

#define STACK_PAINT 0xa5

void vApplicationGetIdleTaskMemory(StaticTask_t **task, StackType_t **stack, uint32_t *stack_words);

static StaticTask_t *only_task;

TaskHandle_t xTaskCreateStatic(TaskFunction_t function, const char *name, uint32_t stack_words,
                               void *context, UBaseType_t priority, StackType_t *stack,
                               StaticTask_t *task) {
  configASSERT(only_task == 0 && priority < configMAX_PRIORITIES);
  *task = (StaticTask_t){function, context, name, stack, stack_words};
  memset(stack, STACK_PAINT, stack_words * sizeof(*stack));
  only_task = task;
  return task;
}

void vTaskStartScheduler(void) {
  StaticTask_t *idle_task = 0;
  StackType_t *idle_stack = 0;
  uint32_t idle_words = 0;
  vApplicationGetIdleTaskMemory(&idle_task, &idle_stack, &idle_words);
  configASSERT(idle_task != 0 && idle_stack != 0 && idle_words >= configMINIMAL_STACK_SIZE);
  StandInRunOn(only_task->stack + only_task->stack_words, only_task->function, only_task->context);
}

void vTaskSuspend(TaskHandle_t task) {
  (void)task;
  for (;;) {
  }
}
