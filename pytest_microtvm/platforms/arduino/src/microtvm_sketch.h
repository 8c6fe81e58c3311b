/* SPDX-License-Identifier: Apache-2.0 */
/* The sketch, which is C++ and knows Arduino's devices, and the program, which is C. */
#ifndef MICROTVM_SKETCH_H_
#define MICROTVM_SKETCH_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The program: begins when the sketch is set up. */
void MicroTVMBegin(void);

/* The program: takes what came over the serial port, in any portion. */
void MicroTVMFeed(const uint8_t *data, size_t size_bytes);

/* The sketch: sends over the serial port, and returns when it has taken all bytes. */
void MicroTVMSend(const uint8_t *data, size_t size_bytes);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_SKETCH_H_ */
