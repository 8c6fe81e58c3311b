/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the graph executor: the input is a graph.
 *
 * Its first two bytes are the numbers of nodes and of entries that the firmware believes it has,
 * the rest is the JSON.
 */
#include <stddef.h>
#include <stdlib.h>

#include <microtvm/graph_executor.h>

#include "fuzz_kernels.h"

#define WORKSPACE_BYTES 256u
#define MIN_WORKSPACE_BYTES 2048u

static int32_t RunNothing(void *const *inputs, void *const *outputs, uint8_t *workspace) {
  (void)inputs;
  (void)outputs;
  (void)workspace;
  return 0;
}

static const MicroTVMModel kModel = {"fuzzed",        1,          1, kFuzzInputs, kFuzzOutputs,
                                     WORKSPACE_BYTES, RunNothing, 0, NULL};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
  MicroTVMGraphExecutor executor;
  if (size_bytes < 2) {
    return 0;
  }
  /* From the heap, so that the sanitizer guards their ends. */
  uint8_t *io = malloc(2 * FUZZ_TENSOR_BYTES);
  uint8_t *table = malloc(MICROTVM_GRAPH_TABLE_BYTES(4, 10));
  uint8_t *workspace = malloc(MIN_WORKSPACE_BYTES);
  const MicroTVMGraph graph = {
      .json = (const char *)data + 2,
      .json_bytes = (uint32_t)size_bytes - 2,
      .num_nodes = data[0],
      .num_entries = data[1],
      .num_storages = data[1],
      .num_kernels = FUZZ_NUM_KERNELS,
      .kernels = kFuzzKernels,
      .num_constants = 1,
      .constants = kFuzzConstants,
  };
  fuzz_calls = 0;
  if (MicroTVMGraphExecutorInit(&executor, &kModel, &graph, io, 2 * FUZZ_TENSOR_BYTES, workspace,
                                MIN_WORKSPACE_BYTES, table,
                                MICROTVM_GRAPH_TABLE_BYTES(4, 10)) == kMicroTVMOk) {
    (void)MicroTVMExecutorRun(&executor.base);
  }
  free(io);
  free(table);
  free(workspace);
  return 0;
}
