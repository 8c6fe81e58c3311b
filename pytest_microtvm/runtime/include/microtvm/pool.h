/* SPDX-License-Identifier: Apache-2.0 */
/* A pool of memory from which the host allocates tensors.
 *
 * Blocks stand one after the other in a buffer of the caller's, each behind 16 bytes that tell its
 * size and state. Those are checked at every use, so that a kernel that writes outside its tensor
 * is noticed. Small and slow: every use walks through the blocks.
 */
#ifndef MICROTVM_POOL_H_
#define MICROTVM_POOL_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <microtvm/model.h>
#include <microtvm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a block takes besides its content, itself rounded up by MICROTVM_ALIGN_UP. */
#define MICROTVM_POOL_BLOCK_BYTES 16u

typedef struct {
  uint8_t *buffer;
  size_t size_bytes;
} MicroTVMPool;

/* Prepares an empty pool. `buffer` belongs to the caller and starts on a multiple of
 * MICROTVM_ALIGNMENT_BYTES; what of its size is no multiple of that is not used. No buffer, or one
 * too small for a block, is a pool from which nothing can be had. */
void MicroTVMPoolInit(MicroTVMPool *pool, uint8_t *buffer, size_t size_bytes);

/* Frees all blocks. */
void MicroTVMPoolReset(MicroTVMPool *pool);

/* Allocates a block that starts on a multiple of MICROTVM_ALIGNMENT_BYTES; its content is
 * undefined. Returns 0, kMicroTVMErrorNoMemory or kMicroTVMErrorPoolDamaged. */
int32_t MicroTVMPoolAllocate(MicroTVMPool *pool, uint64_t size_bytes, void **block);

/* Frees a block. Returns 0, kMicroTVMErrorAddress when no block that is in use starts there, or
 * kMicroTVMErrorPoolDamaged. */
int32_t MicroTVMPoolFree(MicroTVMPool *pool, uintptr_t address);

/* Whether `size_bytes` bytes from `address` lie wholly in one block that is in use; false in a
 * damaged pool. Any numbers may be asked about. */
bool MicroTVMPoolOwns(const MicroTVMPool *pool, uintptr_t address, size_t size_bytes);

/* The bytes of the largest block that could be allocated now. */
uint32_t MicroTVMPoolLargestFree(const MicroTVMPool *pool);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_POOL_H_ */
