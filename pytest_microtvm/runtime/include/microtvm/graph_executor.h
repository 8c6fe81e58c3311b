/* SPDX-License-Identifier: Apache-2.0 */
/* The graph executor: reads a model's graph from flash and calls its kernels one after the other.
 *
 * The JSON is read where it stands, once, by MicroTVMGraphExecutorInit; what a run needs of it is
 * kept in a table of the caller's:
 *
 *   static uint8_t table[MICROTVM_GRAPH_TABLE_BYTES(STEPS, ARGUMENTS)];
 *   static uint8_t workspace[...];  // the model's, but at least MICROTVM_GRAPH_INIT_BYTES(...)
 */
#ifndef MICROTVM_GRAPH_EXECUTOR_H_
#define MICROTVM_GRAPH_EXECUTOR_H_

#include <microtvm/executor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One call of a kernel, or a copy. */
typedef struct {
  const MicroTVMKernel *kernel; /* null: copy the first argument to the second */
  uint8_t *workspace;           /* scratch memory of the kernel */
  uint32_t copy_bytes;
} MicroTVMGraphStep;

/* An output of a node, while the graph is read. */
typedef struct {
  void *data; /* null: not known yet */
  uint32_t size_bytes;
} MicroTVMGraphEntry;

/* Bytes of the table for a graph of that many nodes other than "null", which take and give that
 * many tensors in all; a constant expression. */
#define MICROTVM_GRAPH_TABLE_BYTES(steps, arguments) \
  ((steps) * sizeof(MicroTVMGraphStep) + (arguments) * sizeof(void *))

/* Bytes of workspace that MicroTVMGraphExecutorInit uses for a graph of that many nodes and
 * entries; a constant expression. */
#define MICROTVM_GRAPH_INIT_BYTES(nodes, entries) \
  ((entries) * sizeof(MicroTVMGraphEntry) + ((nodes) + 1u) * sizeof(uint32_t))

typedef struct {
  MicroTVMExecutor base; /* first: the run function gets this one's address */
  const MicroTVMGraphStep *steps;
  void *const *arguments; /* of all steps, one after the other */
  uint32_t num_steps;
#if defined(__AVR__)
  const MicroTVMGraph *graph; /* by which constants are told among arguments */
#endif
} MicroTVMGraphExecutor;

/* Reads the graph. Arguments and results are those of MicroTVMExecutorInit and, besides:
 *
 * `table`, which starts on a multiple of MICROTVM_ALIGNMENT_BYTES and lives as long as the
 * executor; kMicroTVMErrorBufferTooSmall when it, or the workspace, is smaller than the two macros
 * say; kMicroTVMErrorGraphSyntax, kMicroTVMErrorGraph or kMicroTVMErrorGraphKernel when the graph
 * is not what it should be. Whatever the graph says, no kernel will be called with memory outside
 * io, workspace and constants, as far as the kernels say what they use. */
int32_t MicroTVMGraphExecutorInit(MicroTVMGraphExecutor *executor, const MicroTVMModel *model,
                                  const MicroTVMGraph *graph, uint8_t *io, size_t io_bytes,
                                  uint8_t *workspace, size_t workspace_bytes, uint8_t *table,
                                  size_t table_bytes);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_GRAPH_EXECUTOR_H_ */
