/* SPDX-License-Identifier: Apache-2.0 */
/* The packets that the server sends. Internal to the runtime; below it: rpc_packet.h, session.h. */
#ifndef MICROTVM_SRC_RPC_ANSWERS_H_
#define MICROTVM_SRC_RPC_ANSWERS_H_

#include <microtvm/rpc_server.h>

#include "rpc_packet.h"
#include "text.h"

/* A packet's own length field, and the code that follows it. */
#define PACKET_LENGTH_BYTES 8u
#define CODE_BYTES 4u

/* One request while it is served. */
typedef struct {
  MicroTVMPacketReader reader; /* what of the packet was not read yet */
  const char *operation;       /* what the client asked for, for the message of an exception */
  MicroTVMText detail;         /* more for that message, when there is more to say */
} MicroTVMRequest;

/* The largest packet a client may send, its length field not counted, in bytes. The limit holds for
 * answers, too: a host may keep a buffer of the same size. */
uint32_t MicroTVMServerMaxPacketBytes(const MicroTVMRpcServer *server);

/* Begins a packet whose body, behind its code, has `body_bytes` bytes; MicroTVMEndPacket sends it.
 */
void MicroTVMBeginPacket(MicroTVMRpcServer *server, uint32_t code, uint32_t body_bytes);
void MicroTVMEndPacket(MicroTVMRpcServer *server);

/* Answers to a request other than a call. */
void MicroTVMAnswerNothing(MicroTVMRpcServer *server);
void MicroTVMAnswerHandle(MicroTVMRpcServer *server, uint64_t handle);

/* The answer to any request that failed: its operation, the status as a text, and its detail. */
void MicroTVMAnswerException(MicroTVMRpcServer *server, const MicroTVMRequest *request,
                             int32_t status);

/* Answers to a call. A returned value travels after its type index. */
void MicroTVMReturnNone(MicroTVMRpcServer *server);
void MicroTVMReturnInt(MicroTVMRpcServer *server, int64_t value);
void MicroTVMReturnFloat(MicroTVMRpcServer *server, uint64_t bits);
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

#endif /* MICROTVM_SRC_RPC_ANSWERS_H_ */
