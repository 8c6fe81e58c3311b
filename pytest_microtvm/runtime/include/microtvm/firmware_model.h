/* SPDX-License-Identifier: Apache-2.0 */
/* The memory and the executor of a firmware that has one model.
 *
 * For a firmware's main.c, and only for it, since everything here is static. What the firmware is
 * made of is said by macros that are defined before, in a generated project by microtvm_project.h:
 *
 *   MICROTVM_EXECUTOR_AOT, _GRAPH or _HOST_DRIVEN   one of them, 1: who runs the model
 *   MICROTVM_MODEL            the model's MicroTVMModel (not for host_driven)
 *   MICROTVM_GRAPH            its MicroTVMGraph (not for aot)
 *   MICROTVM_IO_BYTES         of all inputs and outputs, each rounded up by MICROTVM_ALIGN_UP
 *   MICROTVM_WORKSPACE_BYTES  of the model
 *   MICROTVM_GRAPH_NODES, _ENTRIES, _STEPS, _ARGUMENTS   see graph_executor.h (only for graph)
 */
#ifndef MICROTVM_FIRMWARE_MODEL_H_
#define MICROTVM_FIRMWARE_MODEL_H_

#include <microtvm/aot_executor.h>
#include <microtvm/graph_executor.h>

#if defined(__GNUC__)
#define MICROTVM_TENSOR_MEMORY static __attribute__((aligned(MICROTVM_ALIGNMENT_BYTES)))
#else
#define MICROTVM_TENSOR_MEMORY static _Alignas(MICROTVM_ALIGNMENT_BYTES)
#endif

/* Arrays of no elements are not C. */
#define MICROTVM_AT_LEAST(minimum, bytes) ((bytes) > (minimum) ? (bytes) : (minimum))

#if defined(MICROTVM_EXECUTOR_AOT)

extern const MicroTVMModel MICROTVM_MODEL;
#define MICROTVM_SERVED_EXECUTOR &microtvm_executor
#define MICROTVM_SERVED_GRAPH NULL
MICROTVM_TENSOR_MEMORY uint8_t microtvm_io[MICROTVM_AT_LEAST(1u, MICROTVM_IO_BYTES)];
MICROTVM_TENSOR_MEMORY uint8_t microtvm_workspace[MICROTVM_AT_LEAST(1u, MICROTVM_WORKSPACE_BYTES)];
static MicroTVMExecutor microtvm_executor;

static inline int32_t MicroTVMFirmwareInitExecutor(void) {
  return MicroTVMAotExecutorInit(&microtvm_executor, &MICROTVM_MODEL, microtvm_io,
                                 sizeof(microtvm_io), microtvm_workspace,
                                 sizeof(microtvm_workspace));
}

#elif defined(MICROTVM_EXECUTOR_GRAPH)

extern const MicroTVMModel MICROTVM_MODEL;
extern const MicroTVMGraph MICROTVM_GRAPH;
#define MICROTVM_SERVED_EXECUTOR &microtvm_executor.base
#define MICROTVM_SERVED_GRAPH &MICROTVM_GRAPH
MICROTVM_TENSOR_MEMORY uint8_t microtvm_io[MICROTVM_AT_LEAST(1u, MICROTVM_IO_BYTES)];
MICROTVM_TENSOR_MEMORY uint8_t microtvm_workspace[MICROTVM_AT_LEAST(
    MICROTVM_GRAPH_INIT_BYTES(MICROTVM_GRAPH_NODES, MICROTVM_GRAPH_ENTRIES),
    MICROTVM_WORKSPACE_BYTES)];
MICROTVM_TENSOR_MEMORY uint8_t microtvm_table[MICROTVM_AT_LEAST(
    1u, MICROTVM_GRAPH_TABLE_BYTES(MICROTVM_GRAPH_STEPS, MICROTVM_GRAPH_ARGUMENTS))];
static MicroTVMGraphExecutor microtvm_executor;

static inline int32_t MicroTVMFirmwareInitExecutor(void) {
  return MicroTVMGraphExecutorInit(
      &microtvm_executor, &MICROTVM_MODEL, &MICROTVM_GRAPH, microtvm_io, sizeof(microtvm_io),
      microtvm_workspace, sizeof(microtvm_workspace), microtvm_table, sizeof(microtvm_table));
}

#elif defined(MICROTVM_EXECUTOR_HOST_DRIVEN)

extern const MicroTVMGraph MICROTVM_GRAPH;
#define MICROTVM_SERVED_EXECUTOR NULL
#define MICROTVM_SERVED_GRAPH &MICROTVM_GRAPH

static inline int32_t MicroTVMFirmwareInitExecutor(void) { return kMicroTVMOk; }

#else
#error "define MICROTVM_EXECUTOR_AOT, MICROTVM_EXECUTOR_GRAPH or MICROTVM_EXECUTOR_HOST_DRIVEN"
#endif

#endif /* MICROTVM_FIRMWARE_MODEL_H_ */
