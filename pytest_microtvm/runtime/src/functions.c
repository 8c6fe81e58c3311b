/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of a model by their names. */
#include <microtvm/functions.h>

/* Less than, equal to or greater than 0 as the bytes of two strings are in order. */
static int32_t Compare(const char *left, const char *right) {
  uint32_t i = 0;
  while (left[i] != '\0' && left[i] == right[i]) {
    ++i;
  }
  return (int32_t)(unsigned char)left[i] - (int32_t)(unsigned char)right[i];
}

int32_t TVMFuncRegistry_Lookup(const TVMFuncRegistry *registry, const char *name, uint32_t *index) {
  uint32_t first = 0;
  uint32_t end = registry->num_funcs;
  while (first < end) {
    const uint32_t middle = first + (end - first) / 2u;
    const int32_t order = Compare(name, registry->funcs[middle].name);
    if (order == 0) {
      *index = middle;
      return 0;
    }
    if (order < 0) {
      end = middle;
    } else {
      first = middle + 1u;
    }
  }
  return -1;
}

int32_t TVMFuncRegistry_GetByIndex(const TVMFuncRegistry *registry, uint32_t index, TVMFunc *func) {
  if (index >= registry->num_funcs) {
    return -1;
  }
  *func = registry->funcs[index];
  return 0;
}
