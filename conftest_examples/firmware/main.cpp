// The same in C++, which the model's header is, too. Of the C++ library nothing is used, so that a
// toolchain without one will do.
#include <stdint.h>
#include <stdio.h>

#include <tvmgen_keyword_int8.h>

namespace {

class Keyword {
 public:
  int8_t spectrogram[TVMGEN_KEYWORD_INT8_SPECTROGRAM_SIZE];
  int8_t scores[TVMGEN_KEYWORD_INT8_SCORES_SIZE];

  bool Run() {
    tvmgen_keyword_int8_inputs inputs;
    tvmgen_keyword_int8_outputs outputs;
    tvmgen_keyword_int8_workspace_pools pools;
    inputs.spectrogram = spectrogram;
    outputs.scores = scores;
    pools.workspace = workspace_;
    return tvmgen_keyword_int8_run(&inputs, &outputs, &pools) == TVMGEN_KEYWORD_INT8_OK;
  }

 private:
  alignas(16) uint8_t workspace_[TVMGEN_KEYWORD_INT8_WORKSPACE_WORKSPACE_POOL_SIZE];
};

Keyword keyword;

}  // namespace

extern "C" int main() {
  unsigned i = 0;
  for (int8_t &element : keyword.spectrogram) {
    element = static_cast<int8_t>(i++ * 7u % 256u);
  }
  if (!keyword.Run()) {
    return 1;
  }
  for (const int8_t score : keyword.scores) {
    printf("%d\n", score);
  }
  return 0;
}
