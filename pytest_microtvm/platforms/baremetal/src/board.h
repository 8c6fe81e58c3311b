/* The parts of a board. A CPU folder supplies cpu.h and the timer, a file in uart/ the serial port. */
#ifndef MICROTVM_BOARD_H_
#define MICROTVM_BOARD_H_

#include <stddef.h>
#include <stdint.h>

/* The serial port of the link: 8 data bits, no parity, the speed of the board's definition. */
void UartInitialize(void);

/* Waits for at least one byte. Returns how many were read, at most `size_bytes`. */
size_t UartRead(uint8_t *data, size_t size_bytes);

/* Returns when the port has taken all bytes. */
void UartWrite(const uint8_t *data, size_t size_bytes);

/* Waits until everything written has left the port. */
void UartFlush(void);

/* Finds out how fast the timer runs; see TVMPlatformTimerStart. */
void TimerInitialize(void);

#endif /* MICROTVM_BOARD_H_ */
