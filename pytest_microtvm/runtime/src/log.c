/* SPDX-License-Identifier: Apache-2.0 */
/* Log messages: formatted by the port, sent by whoever has set the sink. */
#include <microtvm/log.h>

/* The only variables of the runtime: TVMLogf has no context argument, so its sink must be found. */
static MicroTVMLogFunction log_function;
static void *log_context;

void MicroTVMLogSetSink(MicroTVMLogFunction function, void *context) {
  log_function = function;
  log_context = context;
}

void TVMLogf(const char *format, ...) {
  char text[MICROTVM_MAX_LOG_BYTES];
  va_list arguments;
  size_t size_bytes;

  if (log_function == NULL) {
    return;
  }
  va_start(arguments, format);
  size_bytes = TVMPlatformFormatMessage(text, sizeof(text), format, arguments);
  va_end(arguments);
  /* Like vsnprintf, a port may return what a larger buffer would have held. */
  if (size_bytes > sizeof(text) - 1) {
    size_bytes = sizeof(text) - 1;
  }
  log_function(log_context, text, size_bytes);
}
