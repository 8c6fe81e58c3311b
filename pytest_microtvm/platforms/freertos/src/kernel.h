/* SPDX-License-Identifier: Apache-2.0 */
/* What a CPU's folder supplies for FreeRTOS, beside what cpu.h says. */
#ifndef MICROTVM_KERNEL_H_
#define MICROTVM_KERNEL_H_

/* Has interrupts go to FreeRTOS, and exceptions be reported. */
void CpuInstallHandlers(void);

/* Lets the serial port's interrupt come; at once, where the port has bytes already. */
void CpuAllowUartInterrupt(void);

/* Holds it back. For its own handler, or while interrupts are masked. */
void CpuHoldUartInterrupt(void);

/* Keeps the tick's interrupt from coming, and lets it come again. */
void CpuHoldTick(void);
void CpuAllowTick(void);

/* The handler of the serial port's interrupt, for the CPU's folder to call. */
void UartHandleInterrupt(void);

#endif /* MICROTVM_KERNEL_H_ */
