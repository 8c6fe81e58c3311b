/* SPDX-License-Identifier: Apache-2.0 */
/* Of Zephyr's kernel, what generated projects use. There is one thread, and no interrupt is taken:
 * who waits asks the driver. */
#ifndef STANDIN_KERNEL_H_
#define STANDIN_KERNEL_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARG_UNUSED(x) (void)(x)
#define ROUND_UP(x, align) ((((x) + (align) - 1u) / (align)) * (align))
#define K_SECONDS(seconds) (seconds)

struct k_thread {
  struct {
    uintptr_t start;
    size_t size;
  } stack_info;
};

struct k_sem {
  unsigned count;
};

#define K_SEM_DEFINE(name, initial, limit) struct k_sem name = {initial}

const struct k_thread *k_current_get(void);
void k_sem_give(struct k_sem *semaphore);
int k_sem_take(struct k_sem *semaphore, int timeout);
unsigned irq_lock(void);
void irq_unlock(unsigned key);
uint32_t k_cycle_get_32(void);
int64_t k_uptime_ticks(void);
uint32_t sys_clock_hw_cycles_per_sec(void);
void k_busy_wait(uint32_t microseconds);
void k_cpu_idle(void);

#endif /* STANDIN_KERNEL_H_ */
