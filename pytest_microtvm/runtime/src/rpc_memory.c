/* SPDX-License-Identifier: Apache-2.0 */
/* What memory of the device a client may read, write and allocate. */
#include "rpc_memory.h"

#include "memory.h"

#define PART_BYTES 16u

bool MicroTVMServerMayWrite(const MicroTVMRpcServer *server, uintptr_t address, size_t size_bytes) {
  return (server->executor != NULL &&
          MicroTVMExecutorOwns(server->executor, address, size_bytes)) ||
         MicroTVMPoolOwns(&server->pool, address, size_bytes);
}

/* The constant that a tensor of the host's is, or null. On an AVR its address stands for it. */
static const MicroTVMConstant *FindConstant(const MicroTVMGraph *graph, uintptr_t address,
                                            size_t size_bytes) {
  for (uint32_t i = 0; graph != NULL && i < graph->num_constants; ++i) {
    const MicroTVMConstant *constant = &graph->constants[i];
#if defined(__AVR__)
    if ((uintptr_t)constant == address && size_bytes <= constant->info.size_bytes) {
      return constant;
    }
#else
    if (MicroTVMContains(constant->data, constant->info.size_bytes, address, size_bytes)) {
      return constant;
    }
#endif
  }
  return NULL;
}

bool MicroTVMServerMayRead(const MicroTVMRpcServer *server, uintptr_t address, size_t size_bytes) {
  return MicroTVMServerMayWrite(server, address, size_bytes) ||
         FindConstant(server->graph, address, size_bytes) != NULL;
}

#if defined(__AVR__)
MICROTVM_FLASH_POINTER(void)
MicroTVMServerAddress(const MicroTVMRpcServer *server, uintptr_t address, size_t size_bytes) {
  const MicroTVMConstant *constant = FindConstant(server->graph, address, size_bytes);
  if (constant != NULL) {
    return constant->data;
  }
  return (const void *)address;
}

void MicroTVMServerPut(MicroTVMRpcServer *server, uintptr_t address, size_t size_bytes) {
  MICROTVM_FLASH_POINTER(uint8_t) from = MicroTVMServerAddress(server, address, size_bytes);
  uint8_t part[PART_BYTES];
  while (size_bytes > 0) {
    const size_t part_bytes = size_bytes < sizeof(part) ? size_bytes : sizeof(part);
    MicroTVMCopyConstant(part, from, part_bytes);
    MicroTVMFrameWriterPut(&server->writer, part, part_bytes);
    from += part_bytes;
    size_bytes -= part_bytes;
  }
}
#endif

int32_t MicroTVMServerAllocate(MicroTVMRpcServer *server, MicroTVMRequest *request,
                               uint64_t size_bytes, void **block) {
  const int32_t status = MicroTVMPoolAllocate(&server->pool, size_bytes, block);
  if (status == kMicroTVMErrorNoMemory) {
    MicroTVMTextAppendUnsigned(&request->detail,
                               size_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)size_bytes);
    MicroTVMTextAppend(&request->detail, " bytes requested, largest free block ");
    MicroTVMTextAppendUnsigned(&request->detail, MicroTVMPoolLargestFree(&server->pool));
  }
  return status;
}
