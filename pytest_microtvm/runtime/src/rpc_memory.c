/* SPDX-License-Identifier: Apache-2.0 */
/* What memory of the device a client may read, write and allocate. */
#include "rpc_memory.h"

#include "memory.h"

bool MicroTVMServerMayWrite(const MicroTVMRpcServer *server, uintptr_t address, size_t size_bytes) {
  return (server->executor != NULL &&
          MicroTVMExecutorOwns(server->executor, address, size_bytes)) ||
         MicroTVMPoolOwns(&server->pool, address, size_bytes);
}

static bool IsConstant(const MicroTVMGraph *graph, uintptr_t address, size_t size_bytes) {
  for (uint32_t i = 0; graph != NULL && i < graph->num_constants; ++i) {
    if (MicroTVMContains(graph->constants[i].data, graph->constants[i].info.size_bytes, address,
                         size_bytes)) {
      return true;
    }
  }
  return false;
}

bool MicroTVMServerMayRead(const MicroTVMRpcServer *server, uintptr_t address, size_t size_bytes) {
  return MicroTVMServerMayWrite(server, address, size_bytes) ||
         IsConstant(server->graph, address, size_bytes);
}

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
