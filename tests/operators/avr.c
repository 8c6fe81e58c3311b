/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a model on an ATmega2560: inputs come over the UART, a status and outputs go out, for ever.
 *
 * Of the compiler's command: RUN, and RESET where the model has states; INPUTS and OUTPUTS, the
 * bytes of each, and as many as there are; ARENA and STATES, bytes.
 */
#include <avr/io.h>
#include <stdint.h>
#include <string.h>

#define GUARD_BYTES 16u
#define FILLER 0xA5u

int32_t RUN(const void *inputs, const void *outputs, const void *pools);
int32_t RESET(const void *pools);

static const uint16_t input_bytes[] = {INPUTS};
static const uint16_t output_bytes[] = {OUTPUTS};
#define NUM(array) (sizeof(array) / sizeof((array)[0]))

/* What takes the first 64 KB of flash: the model's constants are behind it. */
#define FILL 30000u
static const volatile __memx uint8_t fill0[FILL] = {1}, fill1[FILL] = {2}, fill2[FILL] = {3};

static uint8_t input_memory[INPUT_BYTES], output_memory[OUTPUT_BYTES];
static uint8_t arena[ARENA + GUARD_BYTES], states[STATES + GUARD_BYTES];

static uint8_t Get(void) {
  while ((UCSR0A & _BV(RXC0)) == 0) {
  }
  return UDR0;
}

static void Put(uint8_t byte) {
  while ((UCSR0A & _BV(UDRE0)) == 0) {
  }
  UDR0 = byte;
}

static uint8_t IsTouched(const uint8_t *guard) {
  uint8_t touched = 0;
  for (uint8_t i = 0; i < GUARD_BYTES; ++i) {
    touched = guard[i] != FILLER ? 1 : touched;
  }
  return touched;
}

int main(void) {
  void *inputs[NUM(input_bytes)], *outputs[NUM(output_bytes)];
  void *const pools[] = {arena, states};
  uint8_t *at = input_memory;
  volatile uint8_t first = fill0[0];
  first = fill1[0];
  first = fill2[0];
  (void)first;
  UBRR0 = 0;
  UCSR0A = _BV(U2X0); /* 2 Mbaud */
  UCSR0B = _BV(RXEN0) | _BV(TXEN0);
  for (size_t i = 0; i < NUM(input_bytes); at += input_bytes[i++]) {
    inputs[i] = at;
  }
  at = output_memory;
  for (size_t i = 0; i < NUM(output_bytes); at += output_bytes[i++]) {
    outputs[i] = at;
  }
  memset(arena, FILLER, sizeof(arena));
  memset(states, FILLER, sizeof(states));
#if STATES > 0
  Put((uint8_t)RESET(pools));
#endif
  for (;;) {
    for (size_t i = 0; i < sizeof(input_memory); ++i) {
      input_memory[i] = Get();
    }
    Put((uint8_t)RUN(inputs, outputs, pools));
    Put(IsTouched(arena + ARENA) | IsTouched(states + STATES));
    for (size_t i = 0; i < sizeof(output_memory); ++i) {
      Put(output_memory[i]);
    }
  }
}
