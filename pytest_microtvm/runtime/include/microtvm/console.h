/* SPDX-License-Identifier: Apache-2.0 */
/* A serial port that people read: what firmware without the RPC server writes and reads text by.
 *
 * A port supplies the first four functions; projects/console.c, which generated projects of such
 * types get a copy of, supplies the others.
 */
#ifndef MICROTVM_CONSOLE_H_
#define MICROTVM_CONSOLE_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Waits for at least one byte. Returns how many were read, at most `size_bytes`; 0 when no more
 * can come. */
size_t ConsoleRead(uint8_t *data, size_t size_bytes);

/* Returns when the port has taken all bytes. */
void ConsoleWrite(const uint8_t *data, size_t size_bytes);

/* Waits until everything written has left the port. On a board it never returns: there is nothing
 * to return to. */
void ConsoleClose(void);

/* Pulls the pin that tells a power monitor of an event low for a moment. On a board without such a
 * pin it does nothing. */
void ConsolePulsePin(void);

/* Sends log messages there, too, each as a line. */
void ConsoleShowLog(void);

/* Writes a string. */
void ConsoleText(const char *text);

/* Writes the end of a line. */
void ConsoleEndLine(void);

/* Writes a number in decimal digits. */
void ConsoleInteger(int64_t number);
void ConsoleUnsigned(uint64_t number);

/* Writes two hexadecimal digits. */
void ConsoleHexByte(uint8_t byte);

/* Writes a number with so many decimals, 0 to 9, rounded to the nearest, as printf("%.*f") does. A
 * magnitude of 10^9 and more, which takes other means, is written by ConsoleScientific. */
void ConsoleDecimal(double number, unsigned decimals);

/* Writes nine significant digits and an exponent, such as -1.25000000e-01: enough to tell any two
 * floats of 32 bits apart. */
void ConsoleScientific(double number);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_CONSOLE_H_ */
