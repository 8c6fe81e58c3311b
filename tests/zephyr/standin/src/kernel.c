/* SPDX-License-Identifier: Apache-2.0 */
/* The stand-in's kernel, over the drivers of the platform baremetal. */
#include <zephyr/kernel.h>
#include <zephyr/fatal.h>
#include <zephyr/drivers/uart.h>
#include <zephyr/sys/printk.h>
#include <zephyr/sys/ring_buffer.h>

#include <string.h>

#include <microtvm/fault.h>

#include "board.h"
#include "cpu.h"
#include "uart.h"

#define CLOCK_HZ 25000000u
#define TICKS_PER_SECOND 100.0

void StandInFault(const char *kind, const MicroTVMRegister *registers, size_t num_registers);
void *_sbrk(int bytes);

const struct device standin_uart = {"uart"};
static uart_irq_callback_user_data_t callback;
static void *callback_data;
static bool receives;
static bool has_byte;
static uint8_t next_byte;
static struct k_thread main_thread;

static void Start(void) {
  static bool started;
  if (!started) {
    started = true;
    CpuInitialize();
    UartInitialize();
    TimerInitialize();
    TimerStart();
  }
}

const struct k_thread *k_current_get(void) {
  Start();
  main_thread.stack_info.start = (uintptr_t)microtvm_stack_start;
  main_thread.stack_info.size = (size_t)(microtvm_stack_end - microtvm_stack_start);
  return &main_thread;
}

static bool Peek(void) {
  if (!has_byte) {
    has_byte = UartReceive(&next_byte);
  }
  return has_byte;
}

void k_sem_give(struct k_sem *semaphore) { semaphore->count = 1; }

int k_sem_take(struct k_sem *semaphore, int timeout) {
  ARG_UNUSED(timeout);
  for (;;) {
    if (receives && Peek()) {
      callback(&standin_uart, callback_data);
    }
    if (semaphore->count > 0) {
      --semaphore->count;
      return 0;
    }
    CpuWaitForInterrupt();
  }
}

unsigned irq_lock(void) { return 0; }
void irq_unlock(unsigned key) { ARG_UNUSED(key); }

static double Seconds(void) {
  double seconds = 0.0;
  Start();
  (void)TimerStop(&seconds);
  return seconds;
}

uint32_t k_cycle_get_32(void) { return (uint32_t)(uint64_t)(Seconds() * CLOCK_HZ); }
int64_t k_uptime_ticks(void) { return (int64_t)(Seconds() * TICKS_PER_SECOND); }
uint32_t sys_clock_hw_cycles_per_sec(void) { return CLOCK_HZ; }
void k_busy_wait(uint32_t microseconds) { ARG_UNUSED(microseconds); }
void k_cpu_idle(void) { CpuWaitForInterrupt(); }

void uart_irq_callback_user_data_set(const struct device *device,
                                     uart_irq_callback_user_data_t handler, void *user_data) {
  ARG_UNUSED(device);
  callback = handler;
  callback_data = user_data;
}

void uart_irq_rx_enable(const struct device *device) {
  ARG_UNUSED(device);
  receives = true;
}

void uart_irq_rx_disable(const struct device *device) {
  ARG_UNUSED(device);
  receives = false;
}

int uart_irq_update(const struct device *device) { return device != NULL; }
int uart_irq_is_pending(const struct device *device) { return uart_irq_rx_ready(device); }

int uart_irq_rx_ready(const struct device *device) {
  ARG_UNUSED(device);
  return receives && Peek();
}

int uart_fifo_read(const struct device *device, uint8_t *data, int size) {
  int count = 0;
  ARG_UNUSED(device);
  while (count < size && Peek()) {
    data[count++] = next_byte;
    has_byte = false;
  }
  return count;
}

int uart_poll_in(const struct device *device, unsigned char *byte) {
  return uart_fifo_read(device, byte, 1) == 1 ? 0 : -1;
}

void uart_poll_out(const struct device *device, unsigned char byte) {
  ARG_UNUSED(device);
  UartWrite(&byte, 1);
}

uint32_t ring_buf_space_get(struct ring_buf *ring) {
  return ring->size - (ring->put - ring->taken);
}

uint32_t ring_buf_put_claim(struct ring_buf *ring, uint8_t **data, uint32_t size) {
  const uint32_t place = ring->put % ring->size;
  const uint32_t room = ring_buf_space_get(ring);
  const uint32_t straight = ring->size - place;
  const uint32_t most = room < straight ? room : straight;
  *data = &ring->buffer[place];
  return most < size ? most : size;
}

int ring_buf_put_finish(struct ring_buf *ring, uint32_t size) {
  ring->put += size;
  return 0;
}

uint32_t ring_buf_get(struct ring_buf *ring, uint8_t *data, uint32_t size) {
  uint32_t count = 0;
  while (count < size && ring->taken != ring->put) {
    data[count++] = ring->buffer[ring->taken++ % ring->size];
  }
  return count;
}

int vsnprintk(char *buffer, size_t size, const char *format, va_list arguments) {
  size_t used = 0;
  for (; *format != '\0' && used + 1 < size; ++format) {
    const char *text = NULL;
    char digits[12];
    if (format[0] == '%' && format[1] == 's') {
      text = va_arg(arguments, const char *);
    } else if (format[0] == '%' && format[1] == 'd') {
      const int value = va_arg(arguments, int);
      unsigned rest = value < 0 ? 0u - (unsigned)value : (unsigned)value;
      char *place = &digits[sizeof(digits) - 1u];
      *place = '\0';
      do {
        *--place = (char)('0' + rest % 10u);
        rest /= 10u;
      } while (rest > 0);
      if (value < 0) {
        *--place = '-';
      }
      text = place;
    }
    if (text == NULL) {
      buffer[used++] = *format;
      continue;
    }
    ++format;
    while (*text != '\0' && used + 1 < size) {
      buffer[used++] = *text++;
    }
  }
  buffer[used] = '\0';
  return (int)used;
}

void k_fatal_halt(unsigned int reason) {
  ARG_UNUSED(reason);
  UartFlush();
  CpuHalt();
}

/* Newlib's memory functions want none. */
void *_sbrk(int bytes) {
  ARG_UNUSED(bytes);
  return (void *)-1;
}

static uint32_t ValueOf(const char *name, const MicroTVMRegister *registers, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (strcmp(registers[i].name, name) == 0) {
      return registers[i].value;
    }
  }
  return 0;
}

void StandInFault(const char *kind, const MicroTVMRegister *registers, size_t num_registers) {
  static const struct {
    const char *kind;
    unsigned reason;
  } reasons[] = {
      {"stack overflow", K_ERR_STACK_CHK_FAIL},
      {"division by zero", K_ERR_ARM_USAGE_DIV_0},
      {"unaligned access", K_ERR_ARM_USAGE_UNALIGNED_ACCESS},
      {"invalid instruction", K_ERR_ARM_USAGE_UNDEFINED_INSTRUCTION},
      {"memory protection", K_ERR_ARM_MEM_DATA_ACCESS},
      {"bus fault", K_ERR_ARM_BUS_PRECISE_DATA_BUS},
  };
  const z_arch_esf_t frame = {{
      .r0 = ValueOf("r0", registers, num_registers),
      .r1 = ValueOf("r1", registers, num_registers),
      .r2 = ValueOf("r2", registers, num_registers),
      .r3 = ValueOf("r3", registers, num_registers),
      .r12 = ValueOf("r12", registers, num_registers),
      .lr = ValueOf("lr", registers, num_registers),
      .pc = ValueOf("pc", registers, num_registers),
      .xpsr = ValueOf("psr", registers, num_registers),
  }};
  unsigned reason = K_ERR_CPU_EXCEPTION;
  for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); ++i) {
    if (strcmp(reasons[i].kind, kind) == 0) {
      reason = reasons[i].reason;
    }
  }
  k_sys_fatal_error_handler(reason, &frame);
  k_fatal_halt(reason);
}
