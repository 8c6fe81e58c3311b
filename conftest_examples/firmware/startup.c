/* From reset to main. */
#include <stdint.h>

#include "board.h"

#define CPACR (*(volatile uint32_t *)0xe000ed88u)
#define CPACR_FPU (0xfu << 20)

extern uint32_t stack_end[], data_start[], data_end[], data_load[], bss_start[], bss_end[];

int main(void);
void Reset(void);

void Reset(void) {
  CPACR |= CPACR_FPU;
  for (uint32_t *to = data_start, *from = data_load; to < data_end; ++to, ++from) {
    *to = *from;
  }
  for (uint32_t *to = bss_start; to < bss_end; ++to) {
    *to = 0;
  }
  BoardStart();
  BoardStop(main());
}

static void Fault(void) { BoardStop(99); }

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))stack_end, Reset, Fault, Fault, Fault, Fault, Fault,
};
