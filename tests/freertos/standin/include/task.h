/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STANDIN_TASK_H_
#define STANDIN_TASK_H_

#include "FreeRTOS.h"

#define tskKERNEL_VERSION_MAJOR 11
#define tskKERNEL_VERSION_MINOR 0
#define tskKERNEL_VERSION_BUILD 0
#define tskIDLE_PRIORITY 0u

#define taskENTER_CRITICAL() __asm__ volatile("cpsid i" : : : "memory")
#define taskEXIT_CRITICAL() __asm__ volatile("cpsie i\n\tisb" : : : "memory")

typedef StaticTask_t *TaskHandle_t;

TaskHandle_t xTaskCreateStatic(TaskFunction_t function, const char *name, uint32_t stack_words,
                               void *context, UBaseType_t priority, StackType_t *stack,
                               StaticTask_t *task);
void vTaskStartScheduler(void);
void vTaskSuspend(TaskHandle_t task);

#endif /* STANDIN_TASK_H_ */
