/* SPDX-License-Identifier: Apache-2.0 */
/* The console of projects that people read is the port of the link. */
#include <microtvm/zephyr/compatible.h>
#include <microtvm/zephyr/link.h>

#include <microtvm/console.h>

#define FLUSH_MS 50

size_t ConsoleRead(uint8_t *data, size_t size_bytes) { return MicroTVMLinkRead(data, size_bytes); }

void ConsoleWrite(const uint8_t *data, size_t size_bytes) {
  (void)MicroTVMLinkWrite(NULL, data, size_bytes);
}

void ConsoleClose(void) {
  k_busy_wait(FLUSH_MS * 1000u); /* what the port still holds */
  (void)irq_lock();
  for (;;) {
    k_cpu_idle();
  }
}

void ConsolePulsePin(void) {}
