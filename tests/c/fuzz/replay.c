/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds inputs to a fuzzing harness, without a fuzzer: replay FILE...
 *
 * Without a file they come on standard input, each behind its size (u32, little-endian).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

#define MAX_INPUT_BYTES (1u << 20)

static void Feed(uint8_t *buffer, size_t size_bytes) {
  /* A block of its size, so that the sanitizer guards its end. */
  uint8_t *input = realloc(buffer, size_bytes > 0 ? size_bytes : 1);
  LLVMFuzzerTestOneInput(input, size_bytes);
  free(input);
}

static int FeedStandardInput(void) {
  uint8_t size[4];
  while (fread(size, 1, sizeof(size), stdin) == sizeof(size)) {
    const size_t size_bytes = (size_t)size[0] | (size_t)size[1] << 8 | (size_t)size[2] << 16;
    uint8_t *buffer = malloc(size_bytes > 0 ? size_bytes : 1);
    if (buffer == NULL || fread(buffer, 1, size_bytes, stdin) != size_bytes) {
      free(buffer);
      return 1;
    }
    Feed(buffer, size_bytes);
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    return FeedStandardInput();
  }
  for (int i = 1; i < argc; ++i) {
    FILE *file = fopen(argv[i], "rb");
    uint8_t *buffer = malloc(MAX_INPUT_BYTES);
    if (file == NULL || buffer == NULL) {
      perror(argv[i]);
      return 1;
    }
    const size_t size_bytes = fread(buffer, 1, MAX_INPUT_BYTES, file);
    fclose(file);
    Feed(buffer, size_bytes);
  }
  return 0;
}
