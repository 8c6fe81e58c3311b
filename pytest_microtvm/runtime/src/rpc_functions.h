/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that a client finds by name, and what stands behind its handles. Internal to the
 * runtime; below it: rpc_calls.h, rpc_memory.h, rpc_answers.h. */
#ifndef MICROTVM_SRC_RPC_FUNCTIONS_H_
#define MICROTVM_SRC_RPC_FUNCTIONS_H_

#include "rpc_answers.h"

/* The handle of a function, or 0 when there is none of this name. */
uint32_t MicroTVMFunctionHandle(const void *name, uint64_t name_bytes);

/* What stands behind a handle, for messages; null when the handle is none of ours. */
const char *MicroTVMHandleName(const MicroTVMRpcServer *server, uint64_t handle);

/* Frees a handle. Returns 0 or kMicroTVMErrorUnknownHandle. */
int32_t MicroTVMFreeHandle(MicroTVMRpcServer *server, uint64_t handle);

/* Calls what stands behind a handle, which answers by itself. The arguments are next in the
 * request's reader. Returns 0 or the negative status of a call that was not answered. */
int32_t MicroTVMCallHandle(MicroTVMRpcServer *server, MicroTVMRequest *request, uint64_t handle,
                           uint32_t num_arguments);

#endif /* MICROTVM_SRC_RPC_FUNCTIONS_H_ */
