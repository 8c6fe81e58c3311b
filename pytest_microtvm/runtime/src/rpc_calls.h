/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of kernels and of the model. Internal to the runtime; below it: rpc_memory.h,
 * rpc_answers.h, seconds.h. */
#ifndef MICROTVM_SRC_RPC_CALLS_H_
#define MICROTVM_SRC_RPC_CALLS_H_

#include "rpc_answers.h"

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

/* The handle of a kernel, or 0 when there is none of this name. */
uint32_t MicroTVMKernelHandle(const MicroTVMRpcServer *server, const void *name,
                              uint64_t name_bytes);

/* Each of these answers by itself, reading its arguments from where the request's reader is; or
 * returns the negative status of a call that was not answered. */

int32_t MicroTVMCallKernel(MicroTVMRpcServer *server, MicroTVMRequest *request, uint32_t handle,
                           uint32_t num_arguments);
int32_t MicroTVMCallTimeEvaluator(MicroTVMRpcServer *server, MicroTVMRequest *request,
                                  uint32_t handle, uint32_t num_arguments);

/* The function microtvm.model.run. */
int32_t MicroTVMCallModelRun(MicroTVMRpcServer *server, MicroTVMRequest *request);

/* The function runtime.RPCTimeEvaluator, behind its first two arguments: `target` is the handle of
 * the kernel to measure, or that of microtvm.model.run. */
int32_t MicroTVMCreateTimeEvaluator(MicroTVMRpcServer *server, MicroTVMRequest *request,
                                    uint32_t target);

#endif /* MICROTVM_SRC_RPC_CALLS_H_ */
