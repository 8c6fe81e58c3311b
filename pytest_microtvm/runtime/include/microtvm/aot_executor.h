/* SPDX-License-Identifier: Apache-2.0 */
/* The ahead-of-time executor: gives a model its memory and runs its call plan. */
#ifndef MICROTVM_AOT_EXECUTOR_H_
#define MICROTVM_AOT_EXECUTOR_H_

#include <microtvm/executor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Prepares the executor. Arguments and results are those of MicroTVMExecutorInit. */
int32_t MicroTVMAotExecutorInit(MicroTVMExecutor *executor, const MicroTVMModel *model, uint8_t *io,
                                size_t io_bytes, uint8_t *workspace, size_t workspace_bytes);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_AOT_EXECUTOR_H_ */
