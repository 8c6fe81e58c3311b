/* What the C library's functions expect of an operating system. */
#include <stddef.h>

int *__errno_location(void);

/* errno, which a hosted C library keeps per thread. */
int *__errno_location(void) {
  static int error;
  return &error;
}
