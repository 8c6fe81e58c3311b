/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port of the link, from the driver that the board's definition names: received by
 * interrupt into a stream buffer, sent by polling, which works in an exception as well. */
#include "uart.h"

#include <FreeRTOS.h>
#include <stream_buffer.h>
#include <task.h>

#include "board.h"
#include "kernel.h"
#include "microtvm_board.h"

#ifndef MICROTVM_UART_INTERRUPT
#error "FreeRTOS needs uart.interrupt in the board's definition"
#endif

#define BUFFER_BYTES 512u
#define CHUNK_BYTES 16u

static uint8_t storage[BUFFER_BYTES + 1u];
static StaticStreamBuffer_t buffer;
static StreamBufferHandle_t received;
/* Whether the handler left bytes in the port, and its interrupt held back, for want of room. */
static volatile bool holds_back;

void UartInitialize(void) {
  received = xStreamBufferCreateStatic(BUFFER_BYTES, 1, storage, &buffer);
  UartSetUp();
  CpuAllowUartInterrupt();
}

/* Moves what the port has into the buffer, as far as it fits. */
void UartHandleInterrupt(void) {
  BaseType_t wakes_task = pdFALSE;
  for (;;) {
    uint8_t chunk[CHUNK_BYTES];
    size_t room = xStreamBufferSpacesAvailable(received);
    size_t count = 0;
    if (room == 0) {
      CpuHoldUartInterrupt();
      holds_back = true;
      break;
    }
    if (room > CHUNK_BYTES) {
      room = CHUNK_BYTES;
    }
    while (count < room && UartReceive(&chunk[count])) {
      ++count;
    }
    if (count == 0) {
      break;
    }
    (void)xStreamBufferSendFromISR(received, chunk, count, &wakes_task);
  }
  portYIELD_FROM_ISR(wakes_task);
}

/* The tick comes while the task waits, and not while it computes: figures of a model are those of
 * the model alone, and the same ones each time. */
size_t UartRead(uint8_t *data, size_t size_bytes) {
  size_t count = 0;
  CpuAllowTick();
  while (count == 0) {
    count = xStreamBufferReceive(received, data, size_bytes, portMAX_DELAY);
  }
  CpuHoldTick();
  if (holds_back) {
    /* There is room again. Where the port interrupts for a new byte only, none would come for those
     * it has: the interrupt is made pending, too. */
    taskENTER_CRITICAL();
    holds_back = false;
    CpuAllowUartInterrupt();
    taskEXIT_CRITICAL();
  }
  return count;
}

void UartWrite(const uint8_t *data, size_t size_bytes) {
  size_t count = 0;
  while (count < size_bytes) {
    count += UartSend(&data[count], size_bytes - count);
  }
}
