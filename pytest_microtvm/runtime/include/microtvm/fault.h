/* SPDX-License-Identifier: Apache-2.0 */
/* Reports of faults: which exception the CPU raised, where, and its registers.
 *
 * For a port's exception handler. Needs no heap, and little stack: what it needs of the link is
 * in place since MicroTVMRpcServerInit.
 */
#ifndef MICROTVM_FAULT_H_
#define MICROTVM_FAULT_H_

#include <stddef.h>
#include <stdint.h>

#include <microtvm/framing.h>
#include <microtvm/platform.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  const char *name; /* "pc", "sp", "address", or the CPU's own name of it, in small letters */
  uintptr_t value;
} MicroTVMRegister;

/* Sends a report over the link and aborts by TVMPlatformAbort(kMicroTVMErrorFault).
 *
 * `kind` says what happened, such as "page fault". The registers should be "pc", "sp" and, where
 * the fault has one, "address", then all that the CPU has. A frame that was being written is cut
 * short. A fault while a report is being sent aborts at once. */
MICROTVM_NORETURN void MicroTVMFault(const char *kind, const MicroTVMRegister *registers,
                                     size_t num_registers);

/* Says where reports go; a null writer drops them. MicroTVMRpcServerInit calls it. */
void MicroTVMFaultSetWriter(MicroTVMFrameWriter *writer);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_FAULT_H_ */
