/* What the parts of the RPC server share. Internal to the runtime.
 *
 *   rpc_server.c     frames and sessions in, log lines out
 *   rpc_requests.c   one packet: what is asked, what is answered
 *   rpc_functions.c  the functions that a client finds by name, and all handles
 *   rpc_calls.c      kernels: their arguments, calls and measurements
 *   rpc_memory.c     what memory a client may touch
 */
#ifndef MICROTVM_SRC_RPC_INTERNAL_H_
#define MICROTVM_SRC_RPC_INTERNAL_H_

#include <microtvm/rpc_server.h>

#include "rpc_packet.h"
#include "text.h"

/* One request while it is served. */
typedef struct {
  MicroTVMPacketReader reader; /* what of the packet was not read yet */
  const char *operation;       /* what the client asked for, for the message of an exception */
  MicroTVMText detail;         /* more for that message, when there is more to say */
} MicroTVMRequest;

/* rpc_server.c */

/* Begins the frame that carries a packet with `packet_bytes` bytes, its length field not
 * counted, and writes that field. */
void MicroTVMServerBeginPacket(MicroTVMRpcServer *server, uint32_t packet_bytes);
void MicroTVMServerEndPacket(MicroTVMRpcServer *server);

/* The largest packet a client may send, its length field not counted, in bytes. */
uint32_t MicroTVMServerMaxPacketBytes(const MicroTVMRpcServer *server);

/* rpc_requests.c */

/* Serves one packet: `packet` begins with its length field. */
void MicroTVMServePacket(MicroTVMRpcServer *server, const uint8_t *packet, size_t size_bytes);

/* Answers a packet of which only the size is known, because it is too large to be received. */
void MicroTVMRefusePacket(MicroTVMRpcServer *server, uint32_t packet_bytes);

/* Answers to a call. A returned value travels after its type index. */
void MicroTVMReturnNone(MicroTVMRpcServer *server);
void MicroTVMReturnInt(MicroTVMRpcServer *server, int64_t value);
void MicroTVMReturnFloat(MicroTVMRpcServer *server, double value);
void MicroTVMReturnString(MicroTVMRpcServer *server, const char *value);
void MicroTVMReturnBytes(MicroTVMRpcServer *server, const void *bytes, uint32_t size_bytes);
void MicroTVMReturnTensor(MicroTVMRpcServer *server, const MicroTVMTensorInfo *info,
                          const void *data);
/* Returns the tensor that stands, as a value, in `size_bytes` bytes of a packet, with this address
 * in place of its own and its byte offset. */
void MicroTVMReturnView(MicroTVMRpcServer *server, const uint8_t *bytes, size_t size_bytes,
                        uintptr_t address);
void MicroTVMReturnFunction(MicroTVMRpcServer *server, uint32_t handle);
void MicroTVMReturnModule(MicroTVMRpcServer *server, uint32_t handle);

/* The most bytes that MicroTVMReturnBytes can return. */
uint32_t MicroTVMServerMaxReturnedBytes(const MicroTVMRpcServer *server);

/* rpc_functions.c */

/* A handle is a number in a table, not an address: its kind in the upper half, the place in the
 * table in the lower one. No handle is 0. */
enum {
  kHandleFunction = 1,
  kHandleKernel = 2,
  kHandleTimeEvaluator = 3,
  kHandleModule = 4, /* the system library, the only one */
};
#define MICROTVM_HANDLE(kind, index) ((uint32_t)(kind) << 16 | (uint32_t)(index))
#define MICROTVM_HANDLE_KIND(handle) ((handle) >> 16)
#define MICROTVM_HANDLE_INDEX(handle) ((handle) & 0xFFFFu)

/* The handle of a function, or 0 when there is none of this name. */
uint32_t MicroTVMFunctionHandle(const void *name, uint64_t name_bytes);

/* The function that runs the model. */
bool MicroTVMIsModelRun(uint32_t handle);

/* What stands behind a handle, for messages; null when the handle is none of ours. */
const char *MicroTVMHandleName(const MicroTVMRpcServer *server, uint64_t handle);

/* Frees a handle. Returns 0 or kMicroTVMErrorUnknownHandle. */
int32_t MicroTVMFreeHandle(MicroTVMRpcServer *server, uint64_t handle);

/* Calls what stands behind a handle, which answers by itself. The arguments are next in the
 * request's reader. Returns 0 or the negative status of a call that was not answered. */
int32_t MicroTVMCallHandle(MicroTVMRpcServer *server, MicroTVMRequest *request, uint64_t handle,
                           uint32_t num_arguments);

/* rpc_calls.c */

/* The handle of a kernel, or 0 when there is none of this name. */
uint32_t MicroTVMKernelHandle(const MicroTVMRpcServer *server, const void *name,
                              uint64_t name_bytes);

int32_t MicroTVMCallKernel(MicroTVMRpcServer *server, MicroTVMRequest *request, uint32_t handle,
                           uint32_t num_arguments);
int32_t MicroTVMCallTimeEvaluator(MicroTVMRpcServer *server, MicroTVMRequest *request,
                                  uint32_t handle, uint32_t num_arguments);

/* The functions microtvm.model.run and runtime.RPCTimeEvaluator. */
int32_t MicroTVMCallModelRun(MicroTVMRpcServer *server, MicroTVMRequest *request);
int32_t MicroTVMCreateTimeEvaluator(MicroTVMRpcServer *server, MicroTVMRequest *request);

/* rpc_memory.c */

/* Whether a client may read or write `size_bytes` bytes from `address`: those of the executor and
 * of blocks of the pool; constants it may read only. */
bool MicroTVMServerMayRead(const MicroTVMRpcServer *server, uintptr_t address, size_t size_bytes);
bool MicroTVMServerMayWrite(const MicroTVMRpcServer *server, uintptr_t address, size_t size_bytes);

/* Allocates from the pool; a failure notes in the request what there is. Returns 0 or the status
 * of MicroTVMPoolAllocate. */
int32_t MicroTVMServerAllocate(MicroTVMRpcServer *server, MicroTVMRequest *request,
                               uint64_t size_bytes, void **block);

#endif /* MICROTVM_SRC_RPC_INTERNAL_H_ */
