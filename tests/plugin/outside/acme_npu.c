/* ACME's accelerator, in software. It computes nothing but zeros unless it is active and open, and
 * each hook fails that comes out of order. */
#include "acme_npu.h"

static int32_t state; /* 1 active, 2 open */

static int32_t Step(int32_t from, int32_t to) {
  const int32_t was = state;
  state = to;
  return was == from ? 0 : -1;
}

int32_t TVMDeviceAcmeNpuActivate(void *context) {
  (void)context;
  return Step(0, 1);
}

int32_t TVMDeviceAcmeNpuOpen(void *context) {
  (void)context;
  return Step(1, 2);
}

int32_t TVMDeviceAcmeNpuClose(void *context) {
  (void)context;
  return Step(2, 1);
}

int32_t TVMDeviceAcmeNpuDeactivate(void *context) {
  (void)context;
  return Step(1, 0);
}

void AcmeNpuAbs(void *device, const int8_t *input, int8_t *output, int32_t size, int32_t zero) {
  (void)device;
  for (int32_t i = 0; i < size; ++i) {
    const int32_t value = input[i] - zero;
    const int32_t result = (value < 0 ? -value : value) + zero;
    output[i] = (int8_t)(state != 2 ? 0 : result > 127 ? 127 : result);
  }
}
