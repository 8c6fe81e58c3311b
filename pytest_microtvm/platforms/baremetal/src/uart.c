/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port of the link, from the driver that the board's definition names. Where it names an
 * interrupt, too, the CPU sleeps until bytes arrive. */
#include "uart.h"

#include "board.h"
#include "cpu.h"
#include "microtvm_board.h"

void UartInitialize(void) {
  UartSetUp();
#ifdef MICROTVM_UART_INTERRUPT
  CpuEnableInterrupt(MICROTVM_UART_INTERRUPT);
#endif
}

size_t UartRead(uint8_t *data, size_t size_bytes) {
  size_t count = 0;
  while (count < size_bytes) {
    if (UartReceive(&data[count])) {
      ++count;
    } else if (count > 0) {
      break;
    } else {
#ifdef MICROTVM_UART_INTERRUPT
      CpuWaitForInterrupt();
#endif
    }
  }
  return count;
}

void UartWrite(const uint8_t *data, size_t size_bytes) {
  size_t count = 0;
  while (count < size_bytes) {
    count += UartSend(&data[count], size_bytes - count);
  }
}
