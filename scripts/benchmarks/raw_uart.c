/* SPDX-License-Identifier: Apache-2.0 */
/* In place of main.c: what the serial port's driver moves without a protocol. Commands are a letter
 * and a count (u32, little-endian): 'r' takes that many bytes and answers 'k', 'w' sends that
 * many. */
#include <stddef.h>
#include <stdint.h>

#include <microtvm/platform.h>

#include "board.h"

static uint8_t block[64];
static size_t block_bytes;
static size_t used_bytes;

static uint8_t NextByte(void) {
  if (used_bytes == block_bytes) {
    block_bytes = UartRead(block, sizeof(block));
    used_bytes = 0;
  }
  return block[used_bytes++];
}

static void Take(uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    (void)NextByte();
  }
}

static void Send(uint32_t count) {
  static const uint8_t bytes[64];
  while (count > 0) {
    const uint32_t size = count < sizeof(bytes) ? count : (uint32_t)sizeof(bytes);
    UartWrite(bytes, size);
    count -= size;
  }
}

int main(void) {
  static const uint8_t ready = 'k';
  (void)TVMPlatformInitialize();
  UartWrite(&ready, 1);
  for (;;) {
    const uint8_t command = NextByte();
    uint32_t count = 0;
    for (uint32_t i = 0; i < 4; ++i) {
      count |= (uint32_t)NextByte() << (8u * i);
    }
    if (command == 'r') {
      Take(count);
      UartWrite(&ready, 1);
    } else if (command == 'w') {
      Send(count);
    }
  }
}
