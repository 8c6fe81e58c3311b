/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of mps2_an385, for the drivers. */
#define MICROTVM_UART_BASE 0x40004000u
#define MICROTVM_UART_BAUD 115200u
#define MICROTVM_UART_INTERRUPT 0u
#define MICROTVM_UART_CLOCK_HZ 25000000u
#define MICROTVM_TIMER_BASE 0x40000000u
#define MICROTVM_TIMER_HZ 25000000u
