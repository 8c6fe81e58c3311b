/* SPDX-License-Identifier: Apache-2.0 */
/* The ahead-of-time executor: the call plan is the model's own run function. */
#include <microtvm/aot_executor.h>

static int32_t Run(MicroTVMExecutor *executor) {
  return executor->model->run(executor->tensors, executor->tensors + executor->model->num_inputs,
                              executor->workspace);
}

int32_t MicroTVMAotExecutorInit(MicroTVMExecutor *executor, const MicroTVMModel *model, uint8_t *io,
                                size_t io_bytes, uint8_t *workspace, size_t workspace_bytes) {
  const int32_t status =
      MicroTVMExecutorInit(executor, model, io, io_bytes, workspace, workspace_bytes);
  if (status != kMicroTVMOk) {
    return status;
  }
  if (model->run == NULL) {
    return kMicroTVMErrorInvalidArgument;
  }
  executor->name = "aot";
  executor->run = Run;
  executor->own_bytes = (uint32_t)sizeof(*executor);
  return kMicroTVMOk;
}
