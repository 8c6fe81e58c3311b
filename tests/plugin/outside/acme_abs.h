#ifndef ACME_ABS_H_
#define ACME_ABS_H_

#include <stdint.h>

/* What a CPU of ACME's would have an instruction for. */
static inline int32_t acme_abs(int32_t value) { return value < 0 ? -value : value; }

#endif
