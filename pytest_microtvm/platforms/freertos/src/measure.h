/* SPDX-License-Identifier: Apache-2.0 */
/* What is done around a run that is measured: the tick does not come, so that the figures are those
 * of the model alone, and the same ones each time. */
#ifndef MICROTVM_MEASURE_H_
#define MICROTVM_MEASURE_H_

#include "kernel.h"

static inline void MeasureBegin(void) { CpuHoldTick(); }

static inline void MeasureEnd(void) { CpuAllowTick(); }

#endif /* MICROTVM_MEASURE_H_ */
