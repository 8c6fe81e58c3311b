/* SPDX-License-Identifier: Apache-2.0 */
/* The link over a serial port of Zephyr's: received by interrupt into a ring buffer, sent by
 * polling, which works in an exception as well. */
#include <microtvm/zephyr/compatible.h>
#include <microtvm/zephyr/link.h>

#include <microtvm/status.h>

#if __has_include(<zephyr/drivers/uart.h>)
#include <zephyr/device.h>
#include <zephyr/drivers/uart.h>
#include <zephyr/sys/ring_buffer.h>
#else
#include <device.h>
#include <drivers/uart.h>
#include <sys/ring_buffer.h>
#endif

#if DT_HAS_CHOSEN(microtvm_uart)
#define LINK_NODE DT_CHOSEN(microtvm_uart)
#elif DT_HAS_CHOSEN(zephyr_shell_uart)
#define LINK_NODE DT_CHOSEN(zephyr_shell_uart)
#else
#define LINK_NODE DT_CHOSEN(zephyr_console)
#endif

static const struct device *const port = DEVICE_DT_GET(LINK_NODE);

#if defined(CONFIG_MICROTVM_LINK_INTERRUPTS)

RING_BUF_DECLARE(received, CONFIG_MICROTVM_LINK_BUFFER_BYTES);
static K_SEM_DEFINE(has_received, 0, 1);

/* Moves what the port has into the buffer, as far as it fits. Without room the port is left alone,
 * and asked not to interrupt. Returns whether there was anything. */
static bool Drain(void) {
  bool any = false;
  for (;;) {
    uint8_t *place;
    const uint32_t room = ring_buf_put_claim(&received, &place, CONFIG_MICROTVM_LINK_BUFFER_BYTES);
    if (room == 0) {
      uart_irq_rx_disable(port);
      return any;
    }
    const int count = uart_fifo_read(port, place, (int)room);
    (void)ring_buf_put_finish(&received, count > 0 ? (uint32_t)count : 0u);
    if (count <= 0) {
      return any;
    }
    any = true;
  }
}

static void HandleInterrupt(const struct device *device, void *context) {
  ARG_UNUSED(context);
  bool any = false;
  while (uart_irq_update(device) && uart_irq_is_pending(device)) {
    if (!uart_irq_rx_ready(device) || !Drain()) {
      break;
    }
    any = true;
  }
  if (any) {
    k_sem_give(&has_received);
  }
}

int32_t MicroTVMLinkInit(void) {
  if (!device_is_ready(port)) {
    return kMicroTVMErrorInvalidArgument;
  }
  uart_irq_callback_user_data_set(port, HandleInterrupt, NULL);
  uart_irq_rx_enable(port);
  /* Some ports raise no interrupt for a byte that was there before. */
  const unsigned int key = irq_lock();
  if (Drain()) {
    k_sem_give(&has_received);
  }
  irq_unlock(key);
  return kMicroTVMOk;
}

size_t MicroTVMLinkRead(uint8_t *data, size_t size_bytes) {
  for (;;) {
    const unsigned int key = irq_lock();
    const bool was_full = ring_buf_space_get(&received) == 0;
    const uint32_t count = ring_buf_get(&received, data, (uint32_t)size_bytes);
    if (was_full && count > 0) {
      uart_irq_rx_enable(port);
      (void)Drain();
    }
    irq_unlock(key);
    if (count > 0) {
      return count;
    }
    /* Not for ever: where nothing is due, Zephyr stops the Cortex-M's timer, and the time that it
     * tells later is wrong. */
    (void)k_sem_take(&has_received, K_SECONDS(1));
  }
}

#else /* polled */

int32_t MicroTVMLinkInit(void) {
  return device_is_ready(port) ? kMicroTVMOk : kMicroTVMErrorInvalidArgument;
}

size_t MicroTVMLinkRead(uint8_t *data, size_t size_bytes) {
  size_t count = 0;
  while (count < size_bytes) {
    if (uart_poll_in(port, &data[count]) == 0) {
      ++count;
    } else if (count > 0) {
      break;
    } else {
#if defined(CONFIG_ARCH_POSIX)
      k_msleep(1); /* only who waits lets the computer's time pass */
#endif
    }
  }
  return count;
}

#endif

int32_t MicroTVMLinkWrite(void *context, const uint8_t *data, size_t size_bytes) {
  ARG_UNUSED(context);
  for (size_t i = 0; i < size_bytes; ++i) {
    uart_poll_out(port, data[i]);
  }
  return kMicroTVMOk;
}
