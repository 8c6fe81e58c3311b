/* SPDX-License-Identifier: Apache-2.0 */
/* A model as the runtime sees it: names, sizes, shapes and one function to run it; and the same
 * model as a graph of kernels.
 *
 * The compiler writes one constant MicroTVMModel (`tvmgen_NAME_model`) and one constant
 * MicroTVMGraph (`tvmgen_NAME_graph`) per model; they live in flash.
 */
#ifndef MICROTVM_MODEL_H_
#define MICROTVM_MODEL_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where constants are. On an AVR that is flash, which other instructions read: a pointer to them
 * has 24 bits, and says by the highest whether it is to flash or RAM. C++ has no such pointers. */
#if defined(__AVR__) && defined(__cplusplus)
#define MICROTVM_FLASH_POINTER(type) __uint24
#elif defined(__AVR__)
#define MICROTVM_FLASH_POINTER(type) const __memx type *
#else
#define MICROTVM_FLASH_POINTER(type) const type *
#endif

/* Every tensor, the workspace, and each tensor's place in the io buffer start on a multiple of
 * this. */
#define MICROTVM_ALIGNMENT_BYTES 16u

/* A size in bytes rounded up to the next multiple of MICROTVM_ALIGNMENT_BYTES; a constant
 * expression. */
#define MICROTVM_ALIGN_UP(bytes) \
  (((bytes) + MICROTVM_ALIGNMENT_BYTES - 1u) / MICROTVM_ALIGNMENT_BYTES * MICROTVM_ALIGNMENT_BYTES)

/* Element types, with the numbers of DLPack. */
enum {
  kMicroTVMTypeInt = 0,
  kMicroTVMTypeUInt = 1,
  kMicroTVMTypeFloat = 2,
  kMicroTVMTypeBool = 6,
};

typedef struct {
  const char *name;     /* the model's own name of the tensor */
  uint32_t size_bytes;  /* product of the shape times the bytes of an element */
  uint8_t ndim;         /* 0 for a scalar */
  uint8_t dtype_code;   /* kMicroTVMType... */
  uint8_t dtype_bits;   /* bits of an element: 8, 16, 32 or 64 */
  const int32_t *shape; /* ndim extents, row-major; may be null when ndim is 0 */
} MicroTVMTensorInfo;

typedef struct {
  const char *name;
  uint32_t num_inputs;  /* states included, which come last */
  uint32_t num_outputs; /* likewise */
  const MicroTVMTensorInfo *inputs;
  const MicroTVMTensorInfo *outputs;
  uint32_t workspace_bytes; /* one arena, aligned; 0 when none is needed */
  /* Runs the model once. Inputs and outputs are in model order; every pointer is aligned.
   * Returns 0 or a negative status. */
  int32_t (*run)(void *const *inputs, void *const *outputs, uint8_t *workspace);
  /* What the model keeps from run to run: so many of the last inputs and of the last outputs, pair
   * by pair in the same memory. */
  uint32_t num_states;
  MICROTVM_FLASH_POINTER(void) const *initial_states; /* what each begins as; null: zeros */
} MicroTVMModel;

/* A kernel, callable by its name. */
typedef struct {
  const char *name;         /* func_name in the graph */
  uint8_t num_args;         /* pointers: all inputs, then all outputs */
  uint8_t num_outputs;      /* of them */
  uint32_t workspace_bytes; /* scratch memory, aligned; 0 when none is needed */
  /* Runs the kernel. `args` are num_args aligned pointers; outputs overlap neither inputs nor
   * `workspace`. Returns 0 or a negative status. */
  int32_t (*call)(void *const *args, uint8_t *workspace);
  const uint32_t *arg_bytes; /* num_args sizes that calls are checked with; null: unchecked */
} MicroTVMKernel;

/* A parameter of the model, in flash; info.name is the name of its node in the graph. */
typedef struct {
  MicroTVMTensorInfo info;
  MICROTVM_FLASH_POINTER(void) data; /* aligned */
} MicroTVMConstant;

/* What stands for a constant among the arguments of a kernel: its address, or on an AVR, where that
 * has more bits than an argument, that of its description; and the address that an argument stands
 * for, given the descriptions of all constants of the model. */
#if defined(__AVR__) && !defined(__cplusplus)
#define MICROTVM_ARGUMENT(constant) ((const void *)(constant))
#define MICROTVM_CONSTANT(argument, all) \
  MicroTVMConstantAt((argument), (all), sizeof(all) / sizeof((all)[0]))

static inline const __memx void *MicroTVMConstantAt(const void *argument,
                                                    const MicroTVMConstant *all, size_t count) {
  const MicroTVMConstant *constant = (const MicroTVMConstant *)argument;
  if (constant >= all && constant < all + count) {
    return constant->data; /* not by ?:, which gcc 5 computes with pointers of 16 bits */
  }
  return argument;
}
#else
#define MICROTVM_ARGUMENT(constant) ((constant)->data)
#define MICROTVM_CONSTANT(argument, all) (argument)
#endif

typedef struct {
  /* The graph as TVM's graph executor reads it, see docs/protocol.md. */
  MICROTVM_FLASH_POINTER(char) json;
  uint32_t json_bytes; /* terminator, if any, not counted */
  uint32_t num_nodes;
  uint32_t num_entries;  /* outputs of all nodes */
  uint32_t num_storages; /* one more than the largest storage_id */
  uint32_t num_kernels;
  const MicroTVMKernel *kernels;
  uint32_t num_constants;
  const MicroTVMConstant *constants;
} MicroTVMGraph;

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_MODEL_H_ */
