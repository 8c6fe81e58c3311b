/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a board: a CPU folder supplies cpu.h, uart.c and a file in uart/ the serial port, a
 * file in timer/ the timer (or the CPU folder, for a CPU that has one of its own). */
#ifndef MICROTVM_BOARD_H_
#define MICROTVM_BOARD_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The stack, from the linker's script. */
extern uint8_t microtvm_stack_start[];
extern uint8_t microtvm_stack_end[];

/* Fills the stack below its caller's part with MICROTVM_STACK_PAINT. */
void StackPaint(void);

/* The serial port of the link: 8 data bits, no parity, the speed of the board's definition. */
void UartInitialize(void);

/* Waits for at least one byte. Returns how many were read, at most `size_bytes`. */
size_t UartRead(uint8_t *data, size_t size_bytes);

/* Returns when the port has taken all bytes. */
void UartWrite(const uint8_t *data, size_t size_bytes);

/* Waits until everything written has left the port. */
void UartFlush(void);

/* Makes the timer ready, and finds out how fast it runs where the board does not say. */
void TimerInitialize(void);

/* Starts to measure. */
void TimerStart(void);

/* Gives the seconds since TimerStart. Returns false when the timer ran over in the meantime. */
bool TimerStop(double *elapsed_seconds);

#endif /* MICROTVM_BOARD_H_ */
