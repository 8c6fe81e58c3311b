/* The ahead-of-time executor: gives a model its memory and runs its call plan. */
#ifndef MICROTVM_AOT_EXECUTOR_H_
#define MICROTVM_AOT_EXECUTOR_H_

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

typedef struct {
  const MicroTVMModel *model;
  uint8_t *io; /* all inputs, then all outputs, each rounded up by MICROTVM_ALIGN_UP */
  size_t io_bytes;
  uint8_t *workspace;
  size_t workspace_bytes;
  void *tensors[MICROTVM_MAX_TENSORS]; /* into io: all inputs, then all outputs */
} MicroTVMAotExecutor;

/* Lays the model's tensors out in `io`, which is cleared. Both buffers belong to the caller,
 * live as long as the executor and start on a multiple of MICROTVM_ALIGNMENT_BYTES; `workspace`
 * may be null when the model needs none. Returns 0, kMicroTVMErrorInvalidArgument,
 * kMicroTVMErrorMisaligned, kMicroTVMErrorBufferTooSmall or kMicroTVMErrorTooManyTensors. */
int32_t MicroTVMAotExecutorInit(MicroTVMAotExecutor *executor, const MicroTVMModel *model,
                                uint8_t *io, size_t io_bytes, uint8_t *workspace,
                                size_t workspace_bytes);

/* The data of an input or output, or null when there is none of this number. */
void *MicroTVMAotExecutorInput(const MicroTVMAotExecutor *executor, uint32_t index);
void *MicroTVMAotExecutorOutput(const MicroTVMAotExecutor *executor, uint32_t index);

/* Whether `size_bytes` bytes from `address` lie wholly in io or wholly in workspace. Any numbers
 * may be asked about, for instance such as came over a wire. */
bool MicroTVMAotExecutorOwns(const MicroTVMAotExecutor *executor, uint64_t address,
                             uint64_t size_bytes);

/* Runs the model once. Returns 0 or the negative status of the model. */
int32_t MicroTVMAotExecutorRun(MicroTVMAotExecutor *executor);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_AOT_EXECUTOR_H_ */
