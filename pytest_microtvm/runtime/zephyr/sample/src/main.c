/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a model once and prints what its first output begins with. */
#include <microtvm/zephyr/compatible.h>

#include <microtvm/aot_executor.h>
#include <microtvm/status.h>

#define SHOWN_BYTES 16u

extern const MicroTVMModel MODEL;

static uint8_t io[CONFIG_SAMPLE_IO_BYTES] __aligned(MICROTVM_ALIGNMENT_BYTES);
static uint8_t workspace[CONFIG_SAMPLE_WORKSPACE_BYTES] __aligned(MICROTVM_ALIGNMENT_BYTES);

int main(void) {
  static MicroTVMExecutor executor;
  int32_t status =
      MicroTVMAotExecutorInit(&executor, &MODEL, io, sizeof(io), workspace, sizeof(workspace));
  if (status == kMicroTVMOk) {
    /* Put a sensor's data where MicroTVMExecutorInput says; zeros are there now. */
    status = MicroTVMExecutorRun(&executor);
  }
  if (status != kMicroTVMOk) {
    printk("%s: %s\n", MODEL.name, MicroTVMStatusString(status));
    return 0;
  }
  const uint8_t *const output = MicroTVMExecutorOutput(&executor, 0);
  printk("%s:", MODEL.name);
  for (uint32_t i = 0; i < MIN(MODEL.outputs[0].size_bytes, SHOWN_BYTES); ++i) {
    printk(" %02x", output[i]);
  }
  printk("\ndone\n");
  return 0;
}
