/* SPDX-License-Identifier: Apache-2.0 */
/* The graph executor: the memory of a model, and the steps that its graph was read into. */
#include <microtvm/graph_executor.h>

#include "graph_reader.h"
#include "memory.h"

static int32_t Run(MicroTVMExecutor *base) {
  const MicroTVMGraphExecutor *executor = (const MicroTVMGraphExecutor *)(const void *)base;
  void *const *arguments = executor->arguments;
  for (uint32_t i = 0; i < executor->num_steps; ++i) {
    const MicroTVMGraphStep *step = &executor->steps[i];
    if (step->kernel == NULL) {
      memcpy(arguments[1], arguments[0], step->copy_bytes);
      arguments += 2;
      continue;
    }
    const int32_t status = step->kernel->call(arguments, step->workspace);
    if (status != kMicroTVMOk) {
      return status;
    }
    arguments += step->kernel->num_args;
  }
  return kMicroTVMOk;
}

int32_t MicroTVMGraphExecutorInit(MicroTVMGraphExecutor *executor, const MicroTVMModel *model,
                                  const MicroTVMGraph *graph, uint8_t *io, size_t io_bytes,
                                  uint8_t *workspace, size_t workspace_bytes, uint8_t *table,
                                  size_t table_bytes) {
  int32_t status;

  if (executor == NULL || graph == NULL || graph->json == NULL || workspace == NULL ||
      table == NULL) {
    return kMicroTVMErrorInvalidArgument;
  }
  status = MicroTVMExecutorInit(&executor->base, model, io, io_bytes, workspace, workspace_bytes);
  if (status != kMicroTVMOk) {
    return status;
  }
  if (!MicroTVMIsAligned(table)) {
    return kMicroTVMErrorMisaligned;
  }
  status = MicroTVMReadGraph(executor, graph, table, table_bytes);
  if (status != kMicroTVMOk) {
    return status;
  }
  executor->base.name = "graph";
  executor->base.run = Run;
  return kMicroTVMOk;
}
