/* SPDX-License-Identifier: Apache-2.0 */
/* What runs a model, as the RPC server sees it: tensors in, tensors out, one function.
 *
 * The executors (aot_executor.h, graph_executor.h) differ in how they are initialized and in what
 * their run function does.
 */
#ifndef MICROTVM_EXECUTOR_H_
#define MICROTVM_EXECUTOR_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <microtvm/model.h>
#include <microtvm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The most inputs and outputs, together, that a model may have; a build may define another
 * number. */
#ifndef MICROTVM_MAX_TENSORS
#define MICROTVM_MAX_TENSORS 32
#endif

typedef struct MicroTVMExecutor MicroTVMExecutor;

struct MicroTVMExecutor {
  const char *name;                           /* "aot" or "graph" */
  int32_t (*run)(MicroTVMExecutor *executor); /* see MicroTVMExecutorRun */
  const MicroTVMModel *model;
  uint8_t *io; /* all inputs, states included, then all other outputs, each rounded up by
                * MICROTVM_ALIGN_UP */
  size_t io_bytes;
  uint8_t *workspace;
  size_t workspace_bytes;
  uint32_t own_bytes; /* RAM of the executor itself, that is, without io and workspace */
  void *tensors[MICROTVM_MAX_TENSORS]; /* into io: all inputs, then all outputs */
};

/* Lays the model's tensors out in `io`, which is cleared; for the executors' own functions of
 * that name. Both buffers belong to the caller, live as long as the executor and start on a
 * multiple of MICROTVM_ALIGNMENT_BYTES; `workspace` may be null when the model needs none.
 * Returns 0, kMicroTVMErrorInvalidArgument, kMicroTVMErrorMisaligned,
 * kMicroTVMErrorBufferTooSmall or kMicroTVMErrorTooManyTensors. */
int32_t MicroTVMExecutorInit(MicroTVMExecutor *executor, const MicroTVMModel *model, uint8_t *io,
                             size_t io_bytes, uint8_t *workspace, size_t workspace_bytes);

/* The data of an input or output, or null when there is none of this number. */
void *MicroTVMExecutorInput(const MicroTVMExecutor *executor, uint32_t index);
void *MicroTVMExecutorOutput(const MicroTVMExecutor *executor, uint32_t index);

/* Whether `size_bytes` bytes from `address` lie wholly in io or wholly in workspace. Any numbers
 * may be asked about, for instance such as came over a wire. */
bool MicroTVMExecutorOwns(const MicroTVMExecutor *executor, uintptr_t address, size_t size_bytes);

/* Gives the model's states their initial values, as initialization does. */
void MicroTVMExecutorReset(MicroTVMExecutor *executor);

/* Runs the model once. Returns 0 or the negative status of a kernel. */
int32_t MicroTVMExecutorRun(MicroTVMExecutor *executor);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_EXECUTOR_H_ */
