/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of a model's graph. Internal to the graph executor; below it: json.h, memory.h. */
#ifndef MICROTVM_SRC_GRAPH_READER_H_
#define MICROTVM_SRC_GRAPH_READER_H_

#include <microtvm/graph_executor.h>

/* Reads the graph into the executor's steps and arguments, which are kept in `table`. Its base is
 * initialized, and its workspace is used while the graph is read. Returns 0,
 * kMicroTVMErrorGraphSyntax, kMicroTVMErrorGraph, kMicroTVMErrorGraphKernel or
 * kMicroTVMErrorBufferTooSmall. */
int32_t MicroTVMReadGraph(MicroTVMGraphExecutor *executor, const MicroTVMGraph *graph,
                          uint8_t *table, size_t table_bytes);

#endif /* MICROTVM_SRC_GRAPH_READER_H_ */
