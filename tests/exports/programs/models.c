/* SPDX-License-Identifier: Apache-2.0 */
/* Calls every function of ai_runtime_api.h for all models of the firmware, which are KEYWORD and
 * DIGITS, and prints what they say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ai_runtime_api.h"
#include "digits.h"
#include "keyword.h"
#include "tvmgen_digits.h"
#include "tvmgen_keyword.h"

#define CHECK(condition)                             \
  do {                                               \
    if (!(condition)) {                              \
      printf("line %d: %s\n", __LINE__, #condition); \
      return 1;                                      \
    }                                                \
  } while (0)

#define MAX_OUTPUT_BYTES 64u

static uint8_t workspace[8192] __attribute__((aligned(16)));
static uint8_t own_output[MAX_OUTPUT_BYTES];
static uint8_t own_activations[_KEYWORD_ACTIVATION_BYTES_ + 8] __attribute__((aligned(8)));

static void Fill(ai_tensor *tensor) {
  int8_t *data = (int8_t *)get_dltensor(tensor)->data;
  uint32_t i;
  for (i = 0; i < get_tensor_elts(tensor); ++i) {
    data[i] = (int8_t)((int)((37u * i + 11u) % 256u) - 128);
  }
}

/* What the model's own function gives, in own_output. */
static int32_t RunDirectly(const char *name, const void *input) {
  if (strcmp(name, "keyword") == 0) {
    struct tvmgen_keyword_inputs inputs;
    struct tvmgen_keyword_outputs outputs;
    struct tvmgen_keyword_workspace_pools pools;
    inputs.spectrogram = input;
    outputs.scores = own_output;
    pools.workspace = workspace;
    return tvmgen_keyword_run(&inputs, &outputs, &pools);
  } else {
    struct tvmgen_digits_inputs inputs;
    struct tvmgen_digits_outputs outputs;
    struct tvmgen_digits_workspace_pools pools;
    inputs.pixels = input;
    outputs.digits = own_output;
    pools.workspace = workspace;
    return tvmgen_digits_run(&inputs, &outputs, &pools);
  }
}

static int Try(ai_model_info *model) {
  ai_handle network = NULL;
  ai_tensor *input, *output;
  const ai_quantization_info *quantization;
  const int8_t *scores;
  uint32_t i;

  CHECK(ai_run(model) == AI_STATUS_ERROR);
  CHECK(ai_get_error_code(model) == AI_ERROR_NOT_CREATED);
  CHECK(ai_destroy(model) == AI_STATUS_ERROR);
  CHECK(ai_create(model, own_activations + 1, &network) == AI_STATUS_ERROR);
  CHECK(ai_get_error_code(network) == AI_ERROR_MISALIGNED);
  CHECK(ai_create(model, NULL, &network) == AI_STATUS_OK);
  CHECK(strcmp(ai_get_error(network), "no error") == 0);
  CHECK(ai_create(model, NULL, &network) == AI_STATUS_ERROR);
  CHECK(strstr(ai_get_error(network), "ai_destroy") != NULL);

  printf("%s %s %s api %s, %u nodes, %u to %u tensors, %lu and %lu bytes\n", ai_get_name(network),
         ai_get_revision(network), ai_get_tool_version(network), ai_get_api_version(network),
         (unsigned)ai_get_node_size(network), (unsigned)ai_get_input_size(network),
         (unsigned)ai_get_output_size(network), (unsigned long)ai_get_activations_size(network),
         (unsigned long)ai_get_params_size(network));
  CHECK(strlen(ai_get_datetime(network)) > 10);
  CHECK(ai_get_activations(network) == model->activations);
  CHECK(ai_get_params(network) == model->get_params());
  CHECK(ai_get_input(network, 1) == NULL && ai_get_input(network, -1) == NULL);
  CHECK(ai_get_output(network, 1) == NULL && ai_get_output(network, -1) == NULL);

  input = ai_get_input(network, 0);
  output = ai_get_output(network, 0);
  CHECK((ai_ptr)input->dltensor.data > ai_get_activations(network));
  CHECK((ai_ptr)output->dltensor.data + get_tensor_size(output) <=
        ai_get_activations(network) + ai_get_activations_size(network));
  quantization = ai_get_quantization(input);
  CHECK(quantization != NULL && quantization->dim == -1);
  printf("scale %.6f, zero point %d\n", (double)quantization->scale[0],
         (int)quantization->zero_point[0]);

  Fill(input);
  CHECK(RunDirectly(ai_get_name(network), input->dltensor.data) == 0);
  CHECK(ai_run(network) == AI_STATUS_OK);
  CHECK(get_tensor_size(output) <= MAX_OUTPUT_BYTES);
  CHECK(memcmp(output->dltensor.data, own_output, get_tensor_size(output)) == 0);
  printf("%s:", ai_get_name(network));
  scores = (const int8_t *)output->dltensor.data;
  for (i = 0; i < get_tensor_elts(output); ++i) {
    printf(" %d", scores[i]);
  }
  printf("\n");

  /* Memory of the application's, for the activations and for an output. */
  CHECK(ai_destroy(network) == AI_STATUS_OK);
  CHECK(ai_get_activations_size(network) <= sizeof(own_activations));
  CHECK(ai_create(model, own_activations, &network) == AI_STATUS_OK);
  CHECK(ai_get_activations(network) == own_activations);
  Fill(input);
  memset(own_output, 0, sizeof(own_output));
  output->dltensor.data = own_output;
  CHECK(ai_run(network) == AI_STATUS_OK);
  CHECK(memcmp(own_output, scores, get_tensor_size(output)) == 0);
  output->dltensor.data = NULL;
  CHECK(ai_run(network) == AI_STATUS_ERROR);
  CHECK(ai_get_error_code(network) == AI_ERROR_NO_OUTPUT);
  input->dltensor.data = NULL;
  CHECK(ai_run(network) == AI_STATUS_ERROR);
  CHECK(ai_get_error_code(network) == AI_ERROR_NO_INPUT);
  return ai_destroy(network) == AI_STATUS_OK ? 0 : 1;
}

int main(void) {
  ai_model_iterator iterator;
  int count = 0;
  CHECK(ai_create(NULL, NULL, NULL) == AI_STATUS_ERROR);
  CHECK(strcmp(ai_error_text(AI_ERROR_KERNEL), "a kernel failed") == 0);
  CHECK(keyword_network.create(NULL, own_activations) == AI_STATUS_ERROR);
  CHECK(keyword_network.create(keyword_network.get_params(), NULL) == AI_STATUS_ERROR);
  CHECK(ai_keyword_data_weights_get() == keyword_network.get_params());
  CHECK(_DIGITS_INPUTS_COUNT_ == 1 && _DIGITS_OUTPUTS_COUNT_ == 1);
  for (iterator = ai_model_iterator_begin(); iterator != ai_model_iterator_end();
       iterator = ai_model_iterator_next(iterator)) {
    ++count;
    if (Try(ai_model_iterator_value(iterator)) != 0) {
      return 1;
    }
  }
  printf("%d models\n", count);
  return 0;
}
