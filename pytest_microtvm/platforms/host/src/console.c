/* SPDX-License-Identifier: Apache-2.0 */
/* The console is standard input and output. */
#include <microtvm/console.h>

#include <errno.h>
#include <unistd.h>

size_t ConsoleRead(uint8_t *data, size_t size_bytes) {
  for (;;) {
    const ssize_t count = read(STDIN_FILENO, data, size_bytes);
    if (count >= 0 || errno != EINTR) {
      return count > 0 ? (size_t)count : 0;
    }
  }
}

void ConsoleWrite(const uint8_t *data, size_t size_bytes) {
  while (size_bytes > 0) {
    const ssize_t count = write(STDOUT_FILENO, data, size_bytes);
    if (count >= 0) {
      data += count;
      size_bytes -= (size_t)count;
    } else if (errno != EINTR) {
      return; /* nobody reads any more */
    }
  }
}

void ConsoleClose(void) {}

void ConsolePulsePin(void) {}
