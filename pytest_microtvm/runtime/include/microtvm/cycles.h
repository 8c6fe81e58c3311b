/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU's own counter of cycles: that of a Cortex-M's DWT (Cortex-M3 and later, but M23), and
 * mcycle of a RISC-V in machine mode. For a port, whose timer starts and stops it.
 */
#ifndef MICROTVM_CYCLES_H_
#define MICROTVM_CYCLES_H_

#ifdef __cplusplus
extern "C" {
#endif

/* Starts to count: the last thing that TVMPlatformTimerStart does. A port whose RISC-V may lack
 * mcycle, or run in another mode, must not call it there. */
void MicroTVMCyclesStart(void);

/* Stops to count: the first thing that TVMPlatformTimerStop does. */
void MicroTVMCyclesStop(void);

/* The counter's name and what it counted between the latest two of these, as in "DWT 12345"; empty
 * when there is none, or it stands still as those of emulators may. What DWT counts is modulo 2^32.
 * Lives until the next call. */
const char *MicroTVMCyclesText(void);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_CYCLES_H_ */
