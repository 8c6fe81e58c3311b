/* SPDX-License-Identifier: Apache-2.0 */
/* The models of a firmware, in the style of X-CUBE-AI: found, created, given inputs, run.
 *
 *   ai_model_info *model = ai_model_iterator_value(ai_model_iterator_begin());
 *   ai_handle network;
 *   if (ai_create(model, activations, &network) == AI_STATUS_OK) {
 *     ... fill ai_get_input(network, 0)->dltensor.data ...
 *     if (ai_run(network) != AI_STATUS_OK) {
 *       puts(ai_get_error(network));
 *     }
 *   }
 *
 * Nothing is allocated. One model may be created once at a time; several models run in one
 * firmware, and those that are not created at the same time may share activations.
 */
#ifndef AI_RUNTIME_API_H_
#define AI_RUNTIME_API_H_

#include <stddef.h>
#include <stdint.h>

#include "ai_dltensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the activations are aligned to, in bytes. */
#define AI_ALIGNMENT 8

typedef uint8_t *ai_ptr;
typedef void *ai_handle;

typedef enum {
  AI_STATUS_OK = 0,
  AI_STATUS_ERROR = 1,          /* the call cannot be served; ai_get_error says why */
  AI_STATUS_DELEGATE_ERROR = 2, /* a kernel failed */
} ai_status;

/* What went wrong with a model at last. */
typedef enum {
  AI_ERROR_NONE = 0,
  AI_ERROR_NOT_CREATED = 1,
  AI_ERROR_CREATED_TWICE = 2,
  AI_ERROR_NO_WEIGHTS = 3,
  AI_ERROR_NO_ACTIVATIONS = 4,
  AI_ERROR_MISALIGNED = 5,
  AI_ERROR_NO_INPUT = 6,
  AI_ERROR_NO_OUTPUT = 7,
  AI_ERROR_KERNEL = 8,
} ai_error;

/* Real number = scale * (element - zero_point); dim is the axis that they have one of each for, or
 * -1 where one is for all elements. */
typedef struct {
  float *scale;
  int32_t *zero_point;
  int32_t dim;
} ai_quantization_info;

typedef struct {
  DLTensor dltensor;
  ai_quantization_info *quant; /* null where the tensor is not quantized */
} ai_tensor;

/* What changes about a model; it belongs to the model. */
typedef struct {
  ai_error error;
  int32_t is_created;
  ai_ptr weights;
  ai_ptr activations;
} ai_model_state;

typedef struct {
  const char *name;
  const char *datetime;
  const char *revision;
  const char *tool_version;
  const char *api_version;
  uint16_t n_nodes;
  uint8_t n_inputs;
  uint8_t n_outputs;
  uint32_t activations_size; /* bytes */
  uint32_t params_size;      /* bytes */
  ai_ptr activations;        /* the model's own; null where the application gives them */
  ai_tensor **inputs;
  ai_tensor **outputs;
  ai_ptr (*get_params)(void);
  ai_status (*create)(const ai_ptr weights, const ai_ptr activations);
  ai_status (*destroy)(void);
  ai_status (*run)(ai_tensor *inputs[], ai_tensor *outputs[]);
  ai_model_state *state;
} ai_model_info;

/* Makes a model ready. `activations` are activations_size bytes, aligned to AI_ALIGNMENT; null for
 * those that the model has itself. */
ai_status ai_create(ai_model_info *model, ai_ptr activations, ai_handle *handle);

ai_status ai_destroy(ai_handle handle);

/* Runs a model that was created on what its inputs hold. */
ai_status ai_run(ai_handle handle);

/* What went wrong in the latest call of ai_create, ai_destroy or ai_run, as a constant string. */
const char *ai_get_error(ai_handle handle);
ai_error ai_get_error_code(ai_handle handle);
const char *ai_error_text(ai_error error);

/* The number of inputs and outputs, and each; null when there is none of that index. */
int32_t ai_get_input_size(ai_handle handle);
int32_t ai_get_output_size(ai_handle handle);
ai_tensor *ai_get_input(ai_handle handle, int32_t index);
ai_tensor *ai_get_output(ai_handle handle, int32_t index);

const char *ai_get_name(ai_handle handle);
const char *ai_get_datetime(ai_handle handle);
const char *ai_get_revision(ai_handle handle);
const char *ai_get_tool_version(ai_handle handle);
const char *ai_get_api_version(ai_handle handle);
uint32_t ai_get_node_size(ai_handle handle);
uint32_t ai_get_activations_size(ai_handle handle);
uint32_t ai_get_params_size(ai_handle handle);

/* The memory that the model works in, and its weights. */
ai_ptr ai_get_activations(ai_handle handle);
ai_ptr ai_get_params(ai_handle handle);

const ai_quantization_info *ai_get_quantization(const ai_tensor *tensor);

/* All models of the firmware, as the linker collects them in the section .nn_models; the linker
 * script, or ai_models.ld, says where it begins and ends. */
typedef ai_model_info *ai_model_iterator;

ai_model_iterator ai_model_iterator_begin(void);
ai_model_iterator ai_model_iterator_next(ai_model_iterator iterator);
ai_model_iterator ai_model_iterator_end(void);
ai_model_info *ai_model_iterator_value(ai_model_iterator iterator);

static inline DLTensor *get_dltensor(ai_tensor *tensor) { return &tensor->dltensor; }

/* The number of a tensor's elements, and of its bytes. */
static inline uint32_t get_tensor_elts(const ai_tensor *tensor) {
  uint32_t count = 1;
  int32_t i;
  for (i = 0; i < tensor->dltensor.ndim; ++i) {
    count *= (uint32_t)tensor->dltensor.shape[i];
  }
  return count;
}

static inline uint32_t get_tensor_size(const ai_tensor *tensor) {
  return get_tensor_elts(tensor) * ((tensor->dltensor.dtype.bits + 7u) / 8u);
}

#ifdef __cplusplus
}
#endif
#endif /* AI_RUNTIME_API_H_ */
