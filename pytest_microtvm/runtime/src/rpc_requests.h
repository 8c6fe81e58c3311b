/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of the RPC protocol. Internal to the runtime; below it: rpc_functions.h,
 * rpc_memory.h, rpc_answers.h. */
#ifndef MICROTVM_SRC_RPC_REQUESTS_H_
#define MICROTVM_SRC_RPC_REQUESTS_H_

#include <microtvm/rpc_server.h>

/* Serves one packet: `packet` begins with its length field. */
void MicroTVMServePacket(MicroTVMRpcServer *server, const uint8_t *packet, size_t size_bytes);

/* Answers a packet of which only the size is known, because it is too large to be received. */
void MicroTVMRefusePacket(MicroTVMRpcServer *server, uint32_t packet_bytes);

#endif /* MICROTVM_SRC_RPC_REQUESTS_H_ */
