#include <microtvm/aot_executor.h>

#include "memory.h"

static bool IsAligned(const void *pointer) {
  return ((uintptr_t)pointer % MICROTVM_ALIGNMENT_BYTES) == 0;
}

/* Places `count` tensors one after the other from `*used_bytes` on. */
static int32_t PlaceTensors(MicroTVMAotExecutor *executor, const MicroTVMTensorInfo *infos,
                            uint32_t count, void **tensors, size_t *used_bytes) {
  for (uint32_t i = 0; i < count; ++i) {
    const size_t left_bytes = executor->io_bytes - *used_bytes;
    const size_t size_bytes = infos[i].size_bytes;
    /* Compared before it is rounded up: a size near the largest number must not wrap around. */
    if (size_bytes > left_bytes || MICROTVM_ALIGN_UP(size_bytes) > left_bytes) {
      return kMicroTVMErrorBufferTooSmall;
    }
    tensors[i] = executor->io + *used_bytes;
    *used_bytes += MICROTVM_ALIGN_UP(size_bytes);
  }
  return kMicroTVMOk;
}

int32_t MicroTVMAotExecutorInit(MicroTVMAotExecutor *executor, const MicroTVMModel *model,
                                uint8_t *io, size_t io_bytes, uint8_t *workspace,
                                size_t workspace_bytes) {
  size_t used_bytes = 0;
  int32_t status;

  if (executor == NULL || model == NULL || model->run == NULL || io == NULL ||
      (workspace == NULL && workspace_bytes > 0)) {
    return kMicroTVMErrorInvalidArgument;
  }
  if (!IsAligned(io) || !IsAligned(workspace)) {
    return kMicroTVMErrorMisaligned;
  }
  if (workspace_bytes < model->workspace_bytes) {
    return kMicroTVMErrorBufferTooSmall;
  }
  if (model->num_inputs > MICROTVM_MAX_TENSORS ||
      model->num_outputs > MICROTVM_MAX_TENSORS - model->num_inputs) {
    return kMicroTVMErrorTooManyTensors;
  }
  memset(executor, 0, sizeof(*executor));
  executor->model = model;
  executor->io = io;
  executor->io_bytes = io_bytes;
  executor->workspace = workspace;
  executor->workspace_bytes = workspace_bytes;
  status = PlaceTensors(executor, model->inputs, model->num_inputs, executor->tensors, &used_bytes);
  if (status == kMicroTVMOk) {
    status = PlaceTensors(executor, model->outputs, model->num_outputs,
                          executor->tensors + model->num_inputs, &used_bytes);
  }
  if (status == kMicroTVMOk) {
    memset(io, 0, io_bytes);
  }
  return status;
}

void *MicroTVMAotExecutorInput(const MicroTVMAotExecutor *executor, uint32_t index) {
  return index < executor->model->num_inputs ? executor->tensors[index] : NULL;
}

void *MicroTVMAotExecutorOutput(const MicroTVMAotExecutor *executor, uint32_t index) {
  return index < executor->model->num_outputs
             ? executor->tensors[executor->model->num_inputs + index]
             : NULL;
}

/* Written so that no sum can wrap around. */
static bool Contains(const uint8_t *buffer, size_t buffer_bytes, uint64_t address,
                     uint64_t size_bytes) {
  const uint64_t start = (uint64_t)(uintptr_t)buffer;
  return buffer != NULL && address >= start && address - start <= buffer_bytes &&
         size_bytes <= buffer_bytes - (address - start);
}

bool MicroTVMAotExecutorOwns(const MicroTVMAotExecutor *executor, uint64_t address,
                             uint64_t size_bytes) {
  return Contains(executor->io, executor->io_bytes, address, size_bytes) ||
         Contains(executor->workspace, executor->workspace_bytes, address, size_bytes);
}

int32_t MicroTVMAotExecutorRun(MicroTVMAotExecutor *executor) {
  return executor->model->run(executor->tensors, executor->tensors + executor->model->num_inputs,
                              executor->workspace);
}
