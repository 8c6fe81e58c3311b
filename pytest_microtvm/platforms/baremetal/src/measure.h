/* SPDX-License-Identifier: Apache-2.0 */
/* What is done around a run that is measured: nothing, since no interrupt is taken. */
#ifndef MICROTVM_MEASURE_H_
#define MICROTVM_MEASURE_H_

static inline void MeasureBegin(void) {}

static inline void MeasureEnd(void) {}

#endif /* MICROTVM_MEASURE_H_ */
