/* SPDX-License-Identifier: Apache-2.0 */
/* Any model by one function. */
#include <microtvm/context.h>

#include <stddef.h>

static int32_t last_status;

int32_t TVMExecute(const struct TVMModel *model, const void *inputs, const void *outputs,
                   const struct TVMContext *context) {
  last_status = model == NULL ? -1 : model->execute(inputs, outputs, context);
  return last_status;
}

int32_t TVMReset(const struct TVMModel *model, const struct TVMContext *context) {
  last_status = -1;
  if (model != NULL) {
    last_status = model->reset == NULL ? 0 : model->reset(context);
  }
  return last_status;
}

const char *TVMGetLastError(void) {
  switch (last_status) {
    case 0:
      return "";
    case -1:
      return "a pointer to a struct, a tensor or a pool is null";
    case -2:
      return "a device failed";
    default:
      return "the model failed";
  }
}

void TVMSetWorkspaces(struct TVMContext *context, const void *workspace_pools) {
  context->memory_layout.workspaces = (void *const *)workspace_pools;
}

void *TVMFindDevice(const struct TVMContext *context, int32_t id) {
  for (uint32_t i = 0; i < context->num_devices; ++i) {
    if (context->devices[i].id == id) {
      return context->devices[i].instance;
    }
  }
  return NULL;
}
