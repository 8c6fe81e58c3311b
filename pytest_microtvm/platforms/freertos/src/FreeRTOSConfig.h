/* SPDX-License-Identifier: Apache-2.0 */
/* FreeRTOS of this project: preemptive, all objects static, no heap. microtvm_board.h has the
 * board's numbers. */
#ifndef FREERTOS_CONFIG_H
#define FREERTOS_CONFIG_H

#include "microtvm_board.h"

/* Scheduler. */
#define configUSE_PREEMPTION 1
#define configUSE_PORT_OPTIMISED_TASK_SELECTION 0
#define configCPU_CLOCK_HZ MICROTVM_TICK_CLOCK_HZ
#define configTICK_RATE_HZ 100
#define configMAX_PRIORITIES 4
#define configMINIMAL_STACK_SIZE 128 /* words; the idle task's */
#define configSTACK_DEPTH_TYPE uint32_t
#define configMAX_TASK_NAME_LEN 12
#define configUSE_16_BIT_TICKS 0
#define configIDLE_SHOULD_YIELD 1
#define configUSE_TASK_NOTIFICATIONS 1 /* what stream buffers wait by */
#define configUSE_MUTEXES 0
#define configUSE_TIMERS 0
#define configUSE_CO_ROUTINES 0

/* Memory. */
#define configSUPPORT_STATIC_ALLOCATION 1
#define configSUPPORT_DYNAMIC_ALLOCATION 0

/* Hooks, and what is noticed. */
#define configUSE_IDLE_HOOK 1
#define configUSE_TICK_HOOK 0
#define configCHECK_FOR_STACK_OVERFLOW 2
#define configUSE_MALLOC_FAILED_HOOK 0
#define configUSE_TRACE_FACILITY 0
#define configGENERATE_RUN_TIME_STATS 0

#ifndef __ASSEMBLER__
__attribute__((noreturn)) void KernelAssertFailed(const char *file, int line);
#define configASSERT(condition) ((condition) ? (void)0 : KernelAssertFailed(__FILE__, __LINE__))
#endif

/* API. */
#define INCLUDE_vTaskDelay 1
#define INCLUDE_vTaskDelete 0
#define INCLUDE_vTaskPrioritySet 0
#define INCLUDE_vTaskSuspend 1              /* to wait without an end */
#define INCLUDE_xTaskGetCurrentTaskHandle 1 /* stream buffers ask for it */
#define INCLUDE_xTaskGetSchedulerState 1
#define INCLUDE_uxTaskGetStackHighWaterMark 1

#if defined(__arm__)
/* Interrupts that call FreeRTOS have a priority of this number or a higher one; smaller numbers are
 * more urgent, and are never held up. The upper bits count, as many as the CPU has. */
#define configMAX_SYSCALL_INTERRUPT_PRIORITY 0x40
#define configKERNEL_INTERRUPT_PRIORITY 0xff
#define configUART_INTERRUPT_PRIORITY 0x80

/* The names of the handlers in the vector table, those of CMSIS. */
#define vPortSVCHandler SVC_Handler
#define xPortPendSVHandler PendSV_Handler
#define xPortSysTickHandler SysTick_Handler

/* Armv8-M: the security state that the CPU starts in is the only one. */
#define configENABLE_TRUSTZONE 0
#define configRUN_FREERTOS_SECURE_ONLY 1
#define configENABLE_MPU 0
#if defined(__ARM_FP)
#define configENABLE_FPU 1
#else
#define configENABLE_FPU 0
#endif
#if defined(__ARM_FEATURE_MVE)
#define configENABLE_MVE 1
#else
#define configENABLE_MVE 0
#endif
#endif

#if defined(__riscv)
#define configMTIME_BASE_ADDRESS MICROTVM_TIMER_BASE
#define configMTIMECMP_BASE_ADDRESS MICROTVM_TIMER_COMPARE
#if defined(__riscv_flen)
#define configENABLE_FPU 1
#else
#define configENABLE_FPU 0
#endif
#endif

#endif /* FREERTOS_CONFIG_H */
