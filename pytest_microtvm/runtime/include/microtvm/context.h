/* SPDX-License-Identifier: Apache-2.0 */
/* Any model by one function: an application need not change when a model is compiled again.
 *
 *   struct TVMContext context = {{NULL}, NULL, 0};
 *   TVMSetWorkspaces(&context, &pools);
 *   if (TVMExecute(&tvmgen_NAME, &inputs, &outputs, &context) != 0) {
 *     Report(TVMGetLastError());
 *   }
 *
 * The structs are those of tvmgen_NAME.h. They hold nothing but pointers, so an array of pointers
 * in the order of their members does as well.
 */
#ifndef MICROTVM_CONTEXT_H_
#define MICROTVM_CONTEXT_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An accelerator that a model's kernels run on. */
struct TVMDevice {
  int32_t id;     /* TVMGEN_NAME_<DEVICE>_DEVICE_ID */
  void *instance; /* what the hooks of the device and its kernels are given */
};

/* What a model runs in. */
struct TVMContext {
  struct {
    void *const *workspaces; /* as the members of struct tvmgen_NAME_workspace_pools */
  } memory_layout;
  const struct TVMDevice *devices; /* in any order; may be null when there is none */
  uint32_t num_devices;
};

/* A model, as the compiler writes it: tvmgen_NAME. */
struct TVMModel {
  const char *name;
  uint8_t num_inputs;     /* pointers in `inputs` */
  uint8_t num_outputs;    /* likewise */
  uint8_t num_workspaces; /* pointers in memory_layout.workspaces */
  uint8_t num_devices;    /* devices that its kernels run on */
  int32_t (*execute)(const void *inputs, const void *outputs, const struct TVMContext *context);
  int32_t (*reset)(const struct TVMContext *context); /* null when it keeps no state */
};

/* Runs a model once. Returns what tvmgen_NAME_run does: 0 or a negative status. A model whose
 * inputs and outputs live in a pool takes none: both may be null. */
int32_t TVMExecute(const struct TVMModel *model, const void *inputs, const void *outputs,
                   const struct TVMContext *context);

/* Begins a sequence of inputs: gives what a model keeps from run to run its initial value, which
 * comes before its first run. Returns what tvmgen_NAME_reset does; 0 for a model without a state.
 */
int32_t TVMReset(const struct TVMModel *model, const struct TVMContext *context);

/* Gives a context the pools of a model: its struct tvmgen_NAME_workspace_pools, or an array of
 * pointers. They belong to the caller, and are not copied. */
void TVMSetWorkspaces(struct TVMContext *context, const void *workspace_pools);

/* What the latest TVMExecute or TVMReset failed with, as a text; an empty one when it did not. It
 * is kept in a global variable, the only one that is written. */
const char *TVMGetLastError(void);

/* The instance of the device of an id; null when the context names none. */
void *TVMFindDevice(const struct TVMContext *context, int32_t id);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_CONTEXT_H_ */
