/* SPDX-License-Identifier: Apache-2.0 */
/* Starts FreeRTOS with one task, which runs main.c. Everything that FreeRTOS needs is static. */
#include <FreeRTOS.h>
#include <task.h>

#include <microtvm/fault.h>
#include <microtvm/log.h>
#include <microtvm/platform.h>

#include "board.h"
#include "cpu.h"
#include "kernel.h"

#define MODEL_PRIORITY (tskIDLE_PRIORITY + 1)

int main(void);
void KernelStart(void);
void vApplicationIdleHook(void);
void vApplicationStackOverflowHook(TaskHandle_t task, char *name);
void vApplicationGetIdleTaskMemory(StaticTask_t **task, StackType_t **stack, uint32_t *stack_words);

static StaticTask_t model_task;

static void RunModel(void *context) {
  (void)context;
  CpuInstallHandlers(); /* again: some ports put their own in place when the first task starts */
  (void)main();
  vTaskSuspend(NULL);
}

/* start.S comes here. The task's stack is that of board.h, so that it is painted, measured and
 * guarded as without FreeRTOS. */
void KernelStart(void) {
  const size_t stack_bytes = (size_t)(microtvm_stack_end - microtvm_stack_start);
  CpuInstallHandlers();
  (void)xTaskCreateStatic(RunModel, "model", (uint32_t)(stack_bytes / sizeof(StackType_t)), NULL,
                          MODEL_PRIORITY, (StackType_t *)(void *)microtvm_stack_start, &model_task);
  vTaskStartScheduler();
  CpuHalt(); /* not reached: there is no heap to run out of */
}

void vApplicationGetIdleTaskMemory(StaticTask_t **task, StackType_t **stack,
                                   uint32_t *stack_words) {
  static StaticTask_t idle_task;
  static StackType_t idle_stack[configMINIMAL_STACK_SIZE];
  *task = &idle_task;
  *stack = idle_stack;
  *stack_words = configMINIMAL_STACK_SIZE;
}

/* Nothing to do until the next interrupt. */
void vApplicationIdleHook(void) { __asm__ volatile("wfi" : : : "memory"); }

void vApplicationStackOverflowHook(TaskHandle_t task, char *name) {
  (void)task;
  TVMLogf("the stack of the task %s has overflowed", name);
  MicroTVMFault("stack overflow", NULL, 0);
}

void KernelAssertFailed(const char *file, int line) {
  TVMLogf("FreeRTOS: an assertion failed in %s:%d", file, line);
  TVMPlatformAbort(kMicroTVMErrorFault);
}
