/* SPDX-License-Identifier: Apache-2.0 */
/* The graph executor: the memory of a model, and the steps that its graph was read into. */
#include <microtvm/graph_executor.h>

#include "graph_reader.h"
#include "memory.h"

/* Where a copy is from, which may be a constant. */
static MICROTVM_FLASH_POINTER(void)
    SourceOf(const MicroTVMGraphExecutor *executor, const void *argument) {
#if defined(__AVR__)
  return MicroTVMConstantAt(argument, executor->graph->constants, executor->graph->num_constants);
#else
  (void)executor;
  return argument;
#endif
}

static int32_t Run(MicroTVMExecutor *base) {
  const MicroTVMGraphExecutor *executor = (const MicroTVMGraphExecutor *)(const void *)base;
  void *const *arguments = executor->arguments;
  for (uint32_t i = 0; i < executor->num_steps; ++i) {
    const MicroTVMGraphStep *step = &executor->steps[i];
    if (step->kernel == NULL) {
      MicroTVMCopyConstant(arguments[1], SourceOf(executor, arguments[0]), step->copy_bytes);
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
#if defined(__AVR__)
  executor->graph = graph;
#endif
  executor->base.name = "graph";
  executor->base.run = Run;
  return kMicroTVMOk;
}
