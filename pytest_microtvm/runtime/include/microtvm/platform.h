/* SPDX-License-Identifier: Apache-2.0 */
/* What a port supplies. Names and signatures are those of TVM's C runtime, so that its ports carry
 * over.
 *
 * The core calls TimerStart, TimerStop and FormatMessage. Initialize and Abort belong to the port
 * and are called by its main function.
 */
#ifndef MICROTVM_PLATFORM_H_
#define MICROTVM_PLATFORM_H_

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <microtvm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The error type of TVM's ports: 0 or one of the negative codes of status.h. */
typedef int32_t tvm_crt_error_t;

/* The names that TVM's ports return, for ports written against TVM's headers. */
enum {
  kTvmErrorNoError = kMicroTVMOk,
  kTvmErrorPlatformTimerBadState = kMicroTVMErrorTimer,
};

#if defined(__GNUC__)
#define MICROTVM_NORETURN __attribute__((noreturn))
#define MICROTVM_FORMAT(format_index, first_argument) \
  __attribute__((format(printf, format_index, first_argument)))
#else
#define MICROTVM_NORETURN
#define MICROTVM_FORMAT(format_index, first_argument)
#endif

/* Brings the board up: clocks, link, timer. Called once, before anything else. */
tvm_crt_error_t TVMPlatformInitialize(void);

/* Stops the firmware for good. */
MICROTVM_NORETURN void TVMPlatformAbort(tvm_crt_error_t code);

/* Writes a formatted message of at most `size_bytes`, terminator included, into `buffer`.
 *
 * Returns the bytes written, terminator not counted. A port without vsnprintf may support a part
 * of the conversions; what it does not know it copies as it stands. */
size_t TVMPlatformFormatMessage(char *buffer, size_t size_bytes, const char *format,
                                va_list arguments) MICROTVM_FORMAT(3, 0);

/* Starts the timer. Wall-clock time: it goes on while the CPU sleeps. Returns 0, or an error
 * when the timer is running already. */
tvm_crt_error_t TVMPlatformTimerStart(void);

/* Stops the timer and gives the seconds since TVMPlatformTimerStart. Returns 0, or an error when
 * the timer was not running or ran over. */
tvm_crt_error_t TVMPlatformTimerStop(double *elapsed_seconds);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_PLATFORM_H_ */
