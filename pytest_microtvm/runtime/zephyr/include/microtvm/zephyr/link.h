/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port that leads to the host. */
#ifndef MICROTVM_ZEPHYR_LINK_H_
#define MICROTVM_ZEPHYR_LINK_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Takes the port. Returns 0, or kMicroTVMErrorInvalidArgument when its driver did not start. */
int32_t MicroTVMLinkInit(void);

/* Takes 1 to `size_bytes` received bytes; waits, with the CPU asleep where interrupts are used,
 * until there are any. Returns their number. */
size_t MicroTVMLinkRead(uint8_t *data, size_t size_bytes);

/* Sends bytes, before it returns. The context is not used. Returns 0. */
int32_t MicroTVMLinkWrite(void *context, const uint8_t *data, size_t size_bytes);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_ZEPHYR_LINK_H_ */
