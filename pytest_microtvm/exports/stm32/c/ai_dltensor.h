/* SPDX-License-Identifier: Apache-2.0 */
/* DLTensor of DLPack, by its own header where there is one. */
#ifndef AI_DLTENSOR_H_
#define AI_DLTENSOR_H_

#if defined(__has_include)
#if __has_include(<dlpack/dlpack.h>)
#include <dlpack/dlpack.h>
#define AI_HAS_DLPACK 1
#endif
#endif

#ifndef AI_HAS_DLPACK
#include <stdint.h>

enum { kDLCPU = 1 };

enum { kDLInt = 0, kDLUInt = 1, kDLFloat = 2, kDLBool = 6 };

typedef struct {
  int32_t device_type;
  int32_t device_id;
} DLDevice;

typedef struct {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
} DLDataType;

typedef struct {
  void *data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t *shape;
  int64_t *strides; /* null: row-major without gaps */
  uint64_t byte_offset;
} DLTensor;
#endif

#endif /* AI_DLTENSOR_H_ */
