/* SPDX-License-Identifier: Apache-2.0 */
/* What the runtime asks of a port, by Zephyr. */
#include <microtvm/zephyr/compatible.h>
#include <microtvm/zephyr/link.h>

#include <microtvm/log.h>
#include <microtvm/platform.h>
#include <microtvm/status.h>

tvm_crt_error_t TVMPlatformInitialize(void) {
#if defined(CONFIG_MICROTVM_LINK)
  return MicroTVMLinkInit();
#else
  return kTvmErrorNoError;
#endif
}

void TVMPlatformAbort(tvm_crt_error_t code) {
  TVMLogf("abort: %s (%d)", MicroTVMStatusString(code), (int)code);
  (void)irq_lock();
  k_fatal_halt(K_ERR_KERNEL_PANIC);
}

size_t TVMPlatformFormatMessage(char *buffer, size_t size_bytes, const char *format,
                                va_list arguments) {
  const int length = vsnprintk(buffer, size_bytes, format, arguments);
  if (length < 0 || size_bytes == 0) {
    return 0;
  }
  return (size_t)length < size_bytes ? (size_t)length : size_bytes - 1u;
}
