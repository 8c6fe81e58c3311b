/* SPDX-License-Identifier: Apache-2.0 */
/* Runs kernels and prints, for each, how many bytes of its output are wrong; on the host, or on a
 * Cortex-M or RISC-V in an emulator by semihosting. CHECKS is made by programs.py, like the file it
 * includes. */
#include "kernels.h"

#include "bare.h" /* of scripts/benchmarks */

/* What is beyond the output and the workspace must not be written. */
static void Fill(void) {
  memset(output, FILLER, sizeof(output));
  memset(workspace, FILLER, sizeof(workspace));
}

static void Check(const int8_t *expected, size_t size, size_t workspace_bytes) {
  uint32_t wrong = 0;
  for (size_t i = 0; i < sizeof(output); ++i) {
    wrong += output[i] != (i < size ? expected[i] : (int8_t)FILLER);
  }
  for (size_t i = workspace_bytes; i < sizeof(workspace); ++i) {
    wrong += workspace[i] != FILLER;
  }
  PrintNumber(wrong);
}

int main(void) {
  CHECKS
  return 0;
}
