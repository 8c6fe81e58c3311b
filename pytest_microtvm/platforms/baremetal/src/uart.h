/* SPDX-License-Identifier: Apache-2.0 */
/* What a file in uart/ supplies: the driver of a serial port, of which uart.c makes that of
 * board.h.
 *
 * A driver knows the port's registers from MICROTVM_UART_BASE on, its speed MICROTVM_UART_BAUD and,
 * where the board's definition gives it, the rate of its clock, MICROTVM_UART_CLOCK_HZ. It also
 * supplies UartFlush of board.h.
 */
#ifndef MICROTVM_UART_H_
#define MICROTVM_UART_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sets the port up: 8 data bits, no parity, its speed, and an interrupt for received bytes. */
void UartSetUp(void);

/* Takes a received byte out of the port. Returns false when there is none; from then on the next
 * byte interrupts. */
bool UartReceive(uint8_t *byte);

/* Waits until the port has room, and gives it as many bytes as it has room for. Returns their
 * number, 1 to `size_bytes`. */
size_t UartSend(const uint8_t *data, size_t size_bytes);

#endif /* MICROTVM_UART_H_ */
