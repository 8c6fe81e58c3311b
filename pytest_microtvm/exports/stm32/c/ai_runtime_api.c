/* SPDX-License-Identifier: Apache-2.0 */
#include "ai_runtime_api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of the linker script. */
extern ai_model_info __models_section_start__[];
extern ai_model_info __models_section_end__[];

static ai_model_info *Model(ai_handle handle) { return (ai_model_info *)handle; }

static ai_status Failed(ai_model_info *model, ai_error error) {
  model->state->error = error;
  return AI_STATUS_ERROR;
}

ai_status ai_create(ai_model_info *model, ai_ptr activations, ai_handle *handle) {
  if (model == NULL || handle == NULL) {
    return AI_STATUS_ERROR;
  }
  *handle = model;
  model->state->error = AI_ERROR_NONE;
  if (model->state->is_created) {
    return Failed(model, AI_ERROR_CREATED_TWICE);
  }
  return model->create(model->get_params(), activations == NULL ? model->activations : activations);
}

ai_status ai_destroy(ai_handle handle) {
  ai_model_info *model = Model(handle);
  if (model == NULL) {
    return AI_STATUS_ERROR;
  }
  model->state->error = AI_ERROR_NONE;
  if (!model->state->is_created) {
    return Failed(model, AI_ERROR_NOT_CREATED);
  }
  return model->destroy();
}

static int HasData(ai_tensor *const *tensors, uint8_t count) {
  uint8_t i;
  for (i = 0; i < count; ++i) {
    if (tensors[i]->dltensor.data == NULL) {
      return 0;
    }
  }
  return 1;
}

ai_status ai_run(ai_handle handle) {
  ai_model_info *model = Model(handle);
  ai_status status;
  if (model == NULL) {
    return AI_STATUS_ERROR;
  }
  model->state->error = AI_ERROR_NONE;
  if (!model->state->is_created) {
    return Failed(model, AI_ERROR_NOT_CREATED);
  }
  if (!HasData(model->inputs, model->n_inputs)) {
    return Failed(model, AI_ERROR_NO_INPUT);
  }
  if (!HasData(model->outputs, model->n_outputs)) {
    return Failed(model, AI_ERROR_NO_OUTPUT);
  }
  status = model->run(model->inputs, model->outputs);
  if (status == AI_STATUS_DELEGATE_ERROR) {
    model->state->error = AI_ERROR_KERNEL;
  }
  return status;
}

ai_error ai_get_error_code(ai_handle handle) {
  return handle == NULL ? AI_ERROR_NOT_CREATED : Model(handle)->state->error;
}

const char *ai_get_error(ai_handle handle) { return ai_error_text(ai_get_error_code(handle)); }

const char *ai_error_text(ai_error error) {
  switch (error) {
    case AI_ERROR_NONE:
      return "no error";
    case AI_ERROR_NOT_CREATED:
      return "the model is not created: call ai_create first";
    case AI_ERROR_CREATED_TWICE:
      return "the model is created already: call ai_destroy first";
    case AI_ERROR_NO_WEIGHTS:
      return "no weights are given";
    case AI_ERROR_NO_ACTIVATIONS:
      return "no activations are given, and the model has none of its own";
    case AI_ERROR_MISALIGNED:
      return "weights and activations have to be aligned to 8 bytes";
    case AI_ERROR_NO_INPUT:
      return "an input has no memory: set its dltensor.data";
    case AI_ERROR_NO_OUTPUT:
      return "an output has no memory: set its dltensor.data";
    case AI_ERROR_KERNEL:
      return "a kernel failed";
    default:
      return "unknown error";
  }
}

int32_t ai_get_input_size(ai_handle handle) { return Model(handle)->n_inputs; }

int32_t ai_get_output_size(ai_handle handle) { return Model(handle)->n_outputs; }

ai_tensor *ai_get_input(ai_handle handle, int32_t index) {
  const ai_model_info *model = Model(handle);
  return index >= 0 && index < model->n_inputs ? model->inputs[index] : NULL;
}

ai_tensor *ai_get_output(ai_handle handle, int32_t index) {
  const ai_model_info *model = Model(handle);
  return index >= 0 && index < model->n_outputs ? model->outputs[index] : NULL;
}

const char *ai_get_name(ai_handle handle) { return Model(handle)->name; }

const char *ai_get_datetime(ai_handle handle) { return Model(handle)->datetime; }

const char *ai_get_revision(ai_handle handle) { return Model(handle)->revision; }

const char *ai_get_tool_version(ai_handle handle) { return Model(handle)->tool_version; }

const char *ai_get_api_version(ai_handle handle) { return Model(handle)->api_version; }

uint32_t ai_get_node_size(ai_handle handle) { return Model(handle)->n_nodes; }

uint32_t ai_get_activations_size(ai_handle handle) { return Model(handle)->activations_size; }

uint32_t ai_get_params_size(ai_handle handle) { return Model(handle)->params_size; }

ai_ptr ai_get_activations(ai_handle handle) { return Model(handle)->state->activations; }

ai_ptr ai_get_params(ai_handle handle) { return Model(handle)->get_params(); }

const ai_quantization_info *ai_get_quantization(const ai_tensor *tensor) { return tensor->quant; }

ai_model_iterator ai_model_iterator_begin(void) { return __models_section_start__; }

ai_model_iterator ai_model_iterator_next(ai_model_iterator iterator) { return iterator + 1; }

ai_model_iterator ai_model_iterator_end(void) { return __models_section_end__; }

ai_model_info *ai_model_iterator_value(ai_model_iterator iterator) { return iterator; }

#ifdef __cplusplus
}
#endif
