/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds files to a fuzzing harness, without a fuzzer: replay FILE... */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

#define MAX_INPUT_BYTES (1u << 20)

int main(int argc, char **argv) {
  for (int i = 1; i < argc; ++i) {
    FILE *file = fopen(argv[i], "rb");
    uint8_t *buffer = malloc(MAX_INPUT_BYTES);
    if (file == NULL || buffer == NULL) {
      perror(argv[i]);
      return 1;
    }
    const size_t size_bytes = fread(buffer, 1, MAX_INPUT_BYTES, file);
    fclose(file);
    /* A block of its size, so that the sanitizer guards its end. */
    uint8_t *input = realloc(buffer, size_bytes > 0 ? size_bytes : 1);
    LLVMFuzzerTestOneInput(input, size_bytes);
    free(input);
  }
  return 0;
}
