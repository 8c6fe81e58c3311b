/* Runs the model on a pattern and prints its scores. */
#include <stdint.h>
#include <stdio.h>

#include <tvmgen_keyword_int8.h>
#include <tvmgen_keyword_int8_stack.h>

#define STACK_BYTES 4096u     /* of mps2_an386.ld */
#define OWN_STACK_BYTES 1024u /* printf, main, and the frame of an interrupt */

_Static_assert(TVMGEN_KEYWORD_INT8_STACK_BYTES + OWN_STACK_BYTES <= STACK_BYTES,
               "the model needs more stack than the linker script gives");

static int8_t spectrogram[TVMGEN_KEYWORD_INT8_SPECTROGRAM_SIZE];
static int8_t scores[TVMGEN_KEYWORD_INT8_SCORES_SIZE];
static _Alignas(16) uint8_t workspace[TVMGEN_KEYWORD_INT8_WORKSPACE_WORKSPACE_POOL_SIZE];

int main(void) {
  const struct tvmgen_keyword_int8_inputs inputs = {.spectrogram = spectrogram};
  const struct tvmgen_keyword_int8_outputs outputs = {.scores = scores};
  const struct tvmgen_keyword_int8_workspace_pools pools = {.workspace = workspace};

  for (unsigned i = 0; i < sizeof(spectrogram); ++i) {
    spectrogram[i] = (int8_t)(i * 7u % 256u);
  }
  if (tvmgen_keyword_int8_run(&inputs, &outputs, &pools) != TVMGEN_KEYWORD_INT8_OK) {
    return 1;
  }
  for (unsigned i = 0; i < sizeof(scores); ++i) {
    printf("%d\n", scores[i]);
  }
  return 0;
}
