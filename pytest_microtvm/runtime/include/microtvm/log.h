/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines of the firmware, which reach the host beside the RPC traffic. */
#ifndef MICROTVM_LOG_H_
#define MICROTVM_LOG_H_

#include <stddef.h>

#include <microtvm/platform.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A longer message is cut; bytes, terminator included. */
#ifndef MICROTVM_MAX_LOG_BYTES
#define MICROTVM_MAX_LOG_BYTES 128
#endif

/* Takes one log message. `text` has `size_bytes` bytes and no terminator. */
typedef void (*MicroTVMLogFunction)(void *context, const char *text, size_t size_bytes);

/* Says where log messages go; a null function drops them. MicroTVMRpcServerInit sends them over
 * its link. */
void MicroTVMLogSetSink(MicroTVMLogFunction function, void *context);

/* Formats a message by TVMPlatformFormatMessage and logs it. Not for interrupt handlers: a
 * message that arrives while a frame is being written is dropped. */
void TVMLogf(const char *format, ...) MICROTVM_FORMAT(1, 2);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_LOG_H_ */
