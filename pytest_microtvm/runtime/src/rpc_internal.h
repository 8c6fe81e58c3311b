/* What the parts of the RPC server share. Internal to the runtime.
 *
 *   rpc_server.c     frames and sessions in, log lines out
 *   rpc_requests.c   one packet: what is asked, what is answered
 *   rpc_functions.c  the functions a client may call
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
void MicroTVMReturnInt(MicroTVMRpcServer *server, int64_t value);
void MicroTVMReturnFloat(MicroTVMRpcServer *server, double value);
void MicroTVMReturnString(MicroTVMRpcServer *server, const char *value);
void MicroTVMReturnTensor(MicroTVMRpcServer *server, const MicroTVMTensorInfo *info,
                          const void *data);

/* rpc_functions.c */

/* The handle of a function, or 0 when there is none of this name. */
uint64_t MicroTVMFunctionHandle(const void *name, uint64_t name_bytes);

/* The name of the function with this handle, or null when the handle is none of ours. */
const char *MicroTVMFunctionName(uint64_t handle);

/* Calls a function, which answers by itself. The arguments are next in the request's reader.
 * Returns 0 or the negative status of a call that was not answered. */
int32_t MicroTVMFunctionCall(MicroTVMRpcServer *server, MicroTVMRequest *request, uint64_t handle,
                             uint32_t num_arguments);

#endif /* MICROTVM_SRC_RPC_INTERNAL_H_ */
