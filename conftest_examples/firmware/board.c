/* UART 0 of the MPS2 (Cortex-M System Design Kit), and semihosting to end QEMU. */
#include "board.h"

#include <stdint.h>
#include <stdio.h>

#define UART_DATA (*(volatile uint32_t *)0x40004000u)
#define UART_STATE (*(volatile uint32_t *)0x40004004u)
#define UART_CONTROL (*(volatile uint32_t *)0x40004008u)
#define UART_DIVISOR (*(volatile uint32_t *)0x40004010u)
#define UART_IS_FULL 1u
#define UART_SEND 1u
#define CLOCK_HZ 25000000u
#define BAUD 115200u

#define SEMIHOSTING_EXIT 0x20u
#define SEMIHOSTING_APPLICATION_EXIT 0x20026u

int _write(int file, const char *text, int size);

void BoardStart(void) {
  UART_DIVISOR = CLOCK_HZ / BAUD;
  UART_CONTROL = UART_SEND;
  setvbuf(stdout, NULL, _IONBF, 0); /* printf needs no heap then */
}

/* What the C library writes by. */
int _write(int file, const char *text, int size) {
  (void)file;
  for (int i = 0; i < size; ++i) {
    while ((UART_STATE & UART_IS_FULL) != 0) {
    }
    UART_DATA = (uint8_t)text[i];
  }
  return size;
}

void BoardStop(int status) {
  const uint32_t arguments[] = {SEMIHOSTING_APPLICATION_EXIT, (uint32_t)status};
  register uint32_t operation __asm__("r0") = SEMIHOSTING_EXIT;
  register const uint32_t *parameter __asm__("r1") = arguments;
  __asm__ volatile("bkpt 0xab" : "+r"(operation) : "r"(parameter) : "memory");
  for (;;) {
  }
}
