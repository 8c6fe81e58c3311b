/* ACME's accelerator. */
#ifndef ACME_NPU_H_
#define ACME_NPU_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void AcmeNpuAbs(void *device, const int8_t *input, int8_t *output, int32_t size, int32_t zero);
int32_t TVMDeviceAcmeNpuActivate(void *context);
int32_t TVMDeviceAcmeNpuOpen(void *context);
int32_t TVMDeviceAcmeNpuClose(void *context);
int32_t TVMDeviceAcmeNpuDeactivate(void *context);

#ifdef __cplusplus
}
#endif
#endif
