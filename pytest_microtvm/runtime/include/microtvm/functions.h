/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of a model by their names.
 *
 * The compiler writes one constant table per model, tvmgen_NAME_functions: the functions of the C
 * interface, every kernel, and the descriptions of the model for the runtime's executors, under
 * the names that they have in C. It lives in flash; a firmware that does not refer to it has
 * nothing of it.
 */
#ifndef MICROTVM_FUNCTIONS_H_
#define MICROTVM_FUNCTIONS_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Any function; to be cast to its own type, which its header has, before it is called. */
typedef void (*TVMFunction)(void);

enum {
  kTVMFuncInterface = 0, /* a function of tvmgen_NAME.h */
  kTVMFuncKernel = 1,    /* a function of tvmgen_NAME_internal.h */
  kTVMFuncData = 2,      /* a constant: the model, the graph */
};

typedef struct {
  const char *name;
  TVMFunction function; /* null for data */
  const void *data;     /* null for functions */
  int32_t kind;         /* kTVMFunc... */
} TVMFunc;

typedef struct {
  uint32_t num_funcs;
  const TVMFunc *funcs; /* by name, in the order of their bytes */
} TVMFuncRegistry;

/* Finds the number of a function in O(log n) steps. Returns 0, or -1 when none has this name. */
int32_t TVMFuncRegistry_Lookup(const TVMFuncRegistry *registry, const char *name, uint32_t *index);

/* Gives the function of a number. Returns 0, or -1 when there is none of this number. */
int32_t TVMFuncRegistry_GetByIndex(const TVMFuncRegistry *registry, uint32_t index, TVMFunc *func);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_FUNCTIONS_H_ */
