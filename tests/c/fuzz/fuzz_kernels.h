/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels for the fuzzing harnesses: they touch every byte that they may, and nothing else. */
#ifndef FUZZ_KERNELS_H_
#define FUZZ_KERNELS_H_

#include <stdint.h>
#include <string.h>

#include <microtvm/model.h>
#include <microtvm/status.h>

#define FUZZ_TENSOR_BYTES 64u
#define FUZZ_SCRATCH_BYTES 48u
#define FUZZ_MAX_CALLS 200u

static uint32_t fuzz_calls; /* an input ends after so many: a measurement may ask for billions */
static volatile uint8_t fuzz_sum;

static int32_t FuzzTouch(void *const *args, const uint32_t *arg_bytes, uint32_t num_inputs,
                         uint32_t num_args, uint8_t *workspace, uint32_t workspace_bytes) {
  if (++fuzz_calls > FUZZ_MAX_CALLS) {
    return kMicroTVMErrorModel;
  }
  for (uint32_t i = 0; i < num_inputs; ++i) {
    for (uint32_t j = 0; j < arg_bytes[i]; ++j) {
      fuzz_sum = (uint8_t)(fuzz_sum + ((const uint8_t *)args[i])[j]);
    }
  }
  if (workspace_bytes > 0) {
    memset(workspace, 0x11, workspace_bytes);
  }
  for (uint32_t i = num_inputs; i < num_args; ++i) {
    memset(args[i], 0x22, arg_bytes[i]);
  }
  return kMicroTVMOk;
}

static const uint32_t kFuzzCopyBytes[] = {FUZZ_TENSOR_BYTES, FUZZ_TENSOR_BYTES};
static const uint32_t kFuzzAddBytes[] = {FUZZ_TENSOR_BYTES, 4, FUZZ_TENSOR_BYTES};
static const uint32_t kFuzzSplitBytes[] = {FUZZ_TENSOR_BYTES, 32, 32};

static int32_t FuzzCopy(void *const *args, uint8_t *workspace) {
  return FuzzTouch(args, kFuzzCopyBytes, 1, 2, workspace, FUZZ_SCRATCH_BYTES);
}

static int32_t FuzzAdd(void *const *args, uint8_t *workspace) {
  return FuzzTouch(args, kFuzzAddBytes, 2, 3, workspace, 0);
}

static int32_t FuzzSplit(void *const *args, uint8_t *workspace) {
  return FuzzTouch(args, kFuzzSplitBytes, 1, 3, workspace, 0);
}

static const MicroTVMKernel kFuzzKernels[] = {
    {"copy", 2, 1, FUZZ_SCRATCH_BYTES, FuzzCopy, kFuzzCopyBytes},
    {"add", 3, 1, 0, FuzzAdd, kFuzzAddBytes},
    {"split", 3, 2, 0, FuzzSplit, kFuzzSplitBytes},
};
#define FUZZ_NUM_KERNELS (sizeof(kFuzzKernels) / sizeof(kFuzzKernels[0]))

static const int32_t kFuzzShape[] = {4, 4};
static const MicroTVMTensorInfo kFuzzInputs[] = {
    {"x", FUZZ_TENSOR_BYTES, 2, kMicroTVMTypeFloat, 32, kFuzzShape}};
static const MicroTVMTensorInfo kFuzzOutputs[] = {
    {"y", FUZZ_TENSOR_BYTES, 2, kMicroTVMTypeFloat, 32, kFuzzShape}};
static const float kFuzzOne[] __attribute__((aligned(16))) = {1.0f};
static const MicroTVMConstant kFuzzConstants[] = {
    {{"one", 4, 0, kMicroTVMTypeFloat, 32, NULL}, kFuzzOne}};

#endif /* FUZZ_KERNELS_H_ */
