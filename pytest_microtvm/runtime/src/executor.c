/* SPDX-License-Identifier: Apache-2.0 */
/* What all executors share: the memory of a model, and where its tensors lie in it. */
#include <microtvm/executor.h>

#include "memory.h"

/* Places `count` tensors one after the other from `*used_bytes` on. */
static int32_t PlaceTensors(MicroTVMExecutor *executor, const MicroTVMTensorInfo *infos,
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

int32_t MicroTVMExecutorInit(MicroTVMExecutor *executor, const MicroTVMModel *model, uint8_t *io,
                             size_t io_bytes, uint8_t *workspace, size_t workspace_bytes) {
  size_t used_bytes = 0;
  int32_t status;

  if (executor == NULL || model == NULL || io == NULL ||
      (workspace == NULL && workspace_bytes > 0)) {
    return kMicroTVMErrorInvalidArgument;
  }
  if (!MicroTVMIsAligned(io) || !MicroTVMIsAligned(workspace)) {
    return kMicroTVMErrorMisaligned;
  }
  if (workspace_bytes < model->workspace_bytes) {
    return kMicroTVMErrorBufferTooSmall;
  }
  if (model->num_states > model->num_inputs || model->num_states > model->num_outputs) {
    return kMicroTVMErrorInvalidArgument;
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
    status = PlaceTensors(executor, model->outputs, model->num_outputs - model->num_states,
                          executor->tensors + model->num_inputs, &used_bytes);
  }
  for (uint32_t i = 1; i <= model->num_states; ++i) {
    if (model->inputs[model->num_inputs - i].size_bytes !=
        model->outputs[model->num_outputs - i].size_bytes) {
      return kMicroTVMErrorInvalidArgument;
    }
    executor->tensors[model->num_inputs + model->num_outputs - i] =
        executor->tensors[model->num_inputs - i];
  }
  if (status == kMicroTVMOk) {
    memset(io, 0, io_bytes);
    MicroTVMExecutorReset(executor);
  }
  return status;
}

void MicroTVMExecutorReset(MicroTVMExecutor *executor) {
  const MicroTVMModel *model = executor->model;
  const uint32_t first = model->num_inputs - model->num_states;
  for (uint32_t i = 0; i < model->num_states; ++i) {
    const size_t size_bytes = model->inputs[first + i].size_bytes;
    if (model->initial_states[i] == NULL) {
      memset(executor->tensors[first + i], 0, size_bytes);
    } else {
      MicroTVMCopyConstant(executor->tensors[first + i], model->initial_states[i], size_bytes);
    }
  }
}

void *MicroTVMExecutorInput(const MicroTVMExecutor *executor, uint32_t index) {
  return index < executor->model->num_inputs ? executor->tensors[index] : NULL;
}

void *MicroTVMExecutorOutput(const MicroTVMExecutor *executor, uint32_t index) {
  return index < executor->model->num_outputs
             ? executor->tensors[executor->model->num_inputs + index]
             : NULL;
}

bool MicroTVMExecutorOwns(const MicroTVMExecutor *executor, uintptr_t address, size_t size_bytes) {
  return MicroTVMContains(executor->io, executor->io_bytes, address, size_bytes) ||
         MicroTVMContains(executor->workspace, executor->workspace_bytes, address, size_bytes);
}

int32_t MicroTVMExecutorRun(MicroTVMExecutor *executor) { return executor->run(executor); }
