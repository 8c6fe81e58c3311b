/* SPDX-License-Identifier: Apache-2.0 */
/* The memory that a client may touch. Internal to the runtime; below it: rpc_answers.h. */
#ifndef MICROTVM_SRC_RPC_MEMORY_H_
#define MICROTVM_SRC_RPC_MEMORY_H_

#include "rpc_answers.h"

/* Whether a client may read or write `size_bytes` bytes from `address`: those of the executor and
 * of blocks of the pool; constants it may read only. */
bool MicroTVMServerMayRead(const MicroTVMRpcServer *server, uintptr_t address, size_t size_bytes);
bool MicroTVMServerMayWrite(const MicroTVMRpcServer *server, uintptr_t address, size_t size_bytes);

/* Where a tensor is that a client may read; and what puts it into the frame that is being written.
 */
#if defined(__AVR__)
MICROTVM_FLASH_POINTER(void)
MicroTVMServerAddress(const MicroTVMRpcServer *server, uintptr_t address, size_t size_bytes);
void MicroTVMServerPut(MicroTVMRpcServer *server, uintptr_t address, size_t size_bytes);
#else
#define MicroTVMServerAddress(server, address, size_bytes) ((const void *)(address))
#define MicroTVMServerPut(server, address, size_bytes) \
  MicroTVMFrameWriterPut(&(server)->writer, (const void *)(address), (size_bytes))
#endif

/* Allocates from the pool; a failure notes in the request what there is. Returns 0 or the status
 * of MicroTVMPoolAllocate. */
int32_t MicroTVMServerAllocate(MicroTVMRpcServer *server, MicroTVMRequest *request,
                               uint64_t size_bytes, void **block);

#endif /* MICROTVM_SRC_RPC_MEMORY_H_ */
