/* The RPC server on stdin and stdout, with a toy model: y = 2 x + 1 on 4096 floats.
 *
 * usage: host_server PACKET_BYTES
 *
 * It serves until the end of stdin. The model logs a line on each run, and fails when x[0] is not a
 * number.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <microtvm/aot_executor.h>
#include <microtvm/log.h>
#include <microtvm/platform.h>
#include <microtvm/rpc_server.h>

#define ELEMENTS 4096

static int32_t ToyRun(void *const *inputs, void *const *outputs, uint8_t *workspace) {
  const float *x = inputs[0];
  float *y = outputs[0];
  float *twice = (float *)(void *)workspace;
  TVMLogf("toy model runs on %d elements", ELEMENTS);
  if (x[0] != x[0]) {
    return kMicroTVMErrorModel;
  }
  for (int i = 0; i < ELEMENTS; ++i) {
    twice[i] = 2.0f * x[i];
  }
  for (int i = 0; i < ELEMENTS; ++i) {
    y[i] = twice[i] + 1.0f;
  }
  return 0;
}

static const int32_t kShape[] = {64, 64};
static const MicroTVMTensorInfo kInput = {"x", ELEMENTS * 4, 2, kMicroTVMTypeFloat, 32, kShape};
static const MicroTVMTensorInfo kOutput = {"y", ELEMENTS * 4, 2, kMicroTVMTypeFloat, 32, kShape};
static const MicroTVMModel kToy = {"toy", 1, 1, &kInput, &kOutput, ELEMENTS * 4, ToyRun};

static struct timespec started;
static int timer_runs;

tvm_crt_error_t TVMPlatformTimerStart(void) {
  if (timer_runs || clock_gettime(CLOCK_MONOTONIC, &started) != 0) {
    return kMicroTVMErrorTimer;
  }
  timer_runs = 1;
  return 0;
}

tvm_crt_error_t TVMPlatformTimerStop(double *elapsed_seconds) {
  struct timespec now;
  if (!timer_runs || clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
    return kMicroTVMErrorTimer;
  }
  timer_runs = 0;
  *elapsed_seconds =
      (double)(now.tv_sec - started.tv_sec) + (double)(now.tv_nsec - started.tv_nsec) / 1e9;
  return 0;
}

size_t TVMPlatformFormatMessage(char *buffer, size_t size_bytes, const char *format,
                                va_list arguments) {
  const int length = vsnprintf(buffer, size_bytes, format, arguments);
  return length < 0 ? 0 : (size_t)length;
}

static int32_t WriteStdout(void *context, const uint8_t *data, size_t size_bytes) {
  (void)context;
  while (size_bytes > 0) {
    const ssize_t written = write(STDOUT_FILENO, data, size_bytes);
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      return kMicroTVMErrorWrite;
    }
    data += written;
    size_bytes -= (size_t)written;
  }
  return 0;
}

int main(int argc, char **argv) {
  static _Alignas(16) uint8_t io[2 * ELEMENTS * 4];
  static _Alignas(16) uint8_t workspace[ELEMENTS * 4];
  static MicroTVMAotExecutor executor;
  static MicroTVMRpcServer server;
  const size_t packet_bytes = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
  /* From the heap, so that the sanitizer guards its ends. */
  uint8_t *packet_buffer = malloc(packet_bytes);
  const MicroTVMRpcServerConfig config = {.write = WriteStdout,
                                          .packet_buffer = packet_buffer,
                                          .packet_bytes = packet_bytes,
                                          .build_id = "0123456789abcdef",
                                          .executor = &executor};
  int32_t status = MicroTVMAotExecutorInit(&executor, &kToy, io, sizeof(io), workspace,
                                           sizeof(workspace));
  if (status == kMicroTVMOk) {
    status = MicroTVMRpcServerInit(&server, &config);
  }
  while (status >= 0) {
    uint8_t data[777];
    const ssize_t received = read(STDIN_FILENO, data, sizeof(data));
    if (received <= 0) {
      break;
    }
    status = MicroTVMRpcServerLoop(&server, data, (size_t)received);
  }
  free(packet_buffer);
  if (status < 0) {
    fprintf(stderr, "%s\n", MicroTVMStatusString(status));
    return 1;
  }
  return 0;
}
