/* SPDX-License-Identifier: Apache-2.0 */
/* The RPC server on stdin and stdout, with a toy model: y = 2 x + 1 on 4096 floats.
 *
 * usage: host_server PACKET_BYTES aot|graph|host_driven POOL_BYTES
 *
 * It serves until the end of stdin. The model logs a line on each run, and fails when x[0] is not a
 * number. Its kernels can be called by name, besides two that are not in the graph: toy_fault, and
 * toy_overrun, which writes a byte beyond its output.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <microtvm/aot_executor.h>
#include <microtvm/fault.h>
#include <microtvm/graph_executor.h>
#include <microtvm/log.h>
#include <microtvm/platform.h>
#include <microtvm/rpc_server.h>

#define ELEMENTS 4096

#define SCRATCH_BYTES 32
#define SCRATCH_OFFSET (ELEMENTS * 4)
#define WORKSPACE_BYTES (SCRATCH_OFFSET + SCRATCH_BYTES)

static const float kOne[] __attribute__((aligned(16))) = {1.0f};

/* y = 2 x */
static int32_t Twice(void *const *args, uint8_t *workspace) {
  const float *x = args[0];
  float *y = args[1];
  TVMLogf("toy model runs on %d elements", ELEMENTS);
  if (x[0] != x[0]) {
    return kMicroTVMErrorModel;
  }
  memset(workspace, 0x5A, SCRATCH_BYTES);
  for (int i = 0; i < ELEMENTS; ++i) {
    y[i] = 2.0f * x[i];
  }
  return 0;
}

/* y = x + b, with b of one element */
static int32_t Add(void *const *args, uint8_t *workspace) {
  const float *x = args[0];
  const float *b = args[1];
  float *y = args[2];
  (void)workspace;
  for (int i = 0; i < ELEMENTS; ++i) {
    y[i] = x[i] + b[0];
  }
  return 0;
}

static int32_t ToyRun(void *const *inputs, void *const *outputs, uint8_t *workspace) {
  void *const twice[] = {inputs[0], workspace};
  void *const add[] = {workspace, (void *)(uintptr_t)kOne, outputs[0]};
  const int32_t status = Twice(twice, workspace + SCRATCH_OFFSET);
  return status != 0 ? status : Add(add, NULL);
}

static int32_t Fault(void *const *args, uint8_t *workspace) {
  static const MicroTVMRegister kRegisters[] = {
      {"pc", 0x00100F3C}, {"sp", UINTPTR_MAX}, {"address", 0}, {"eax", 0xABCDEF}};
  (void)args;
  (void)workspace;
  MicroTVMFault("page fault", kRegisters, sizeof(kRegisters) / sizeof(kRegisters[0]));
}

static int32_t Overrun(void *const *args, uint8_t *workspace) {
  (void)workspace;
  ((uint8_t *)args[0])[16] = 0xAA;
  return 0;
}

static const uint32_t kTwiceBytes[] = {ELEMENTS * 4, ELEMENTS * 4};
static const uint32_t kAddBytes[] = {ELEMENTS * 4, 4, ELEMENTS * 4};
static const MicroTVMKernel kKernels[] = {
    {"toy_twice", 2, 1, SCRATCH_BYTES, Twice, kTwiceBytes},
    {"toy_add", 3, 1, 0, Add, kAddBytes},
    {"toy_fault", 0, 0, 0, Fault, NULL},
    {"toy_overrun", 1, 1, 0, Overrun, NULL},
};

static const int32_t kShape[] = {64, 64};
static const MicroTVMTensorInfo kInput = {"x", ELEMENTS * 4, 2, kMicroTVMTypeFloat, 32, kShape};
static const MicroTVMTensorInfo kOutput = {"y", ELEMENTS * 4, 2, kMicroTVMTypeFloat, 32, kShape};
static const MicroTVMModel kToy = {"toy",           1,      1, &kInput, &kOutput,
                                   WORKSPACE_BYTES, ToyRun, 0, NULL};
static const MicroTVMConstant kConstant = {{"one", 4, 0, kMicroTVMTypeFloat, 32, NULL}, kOne};

#define NODES 4
#define STEPS 2
#define ARGUMENTS 5
static const char kJson[] =
    "{\"nodes\": ["
    "{\"op\": \"null\", \"name\": \"x\", \"inputs\": []},"
    "{\"op\": \"null\", \"name\": \"one\", \"inputs\": []},"
    "{\"op\": \"tvm_op\", \"name\": \"twice\", \"attrs\": {\"num_outputs\": \"1\","
    " \"num_inputs\": \"1\", \"flatten_data\": \"0\", \"func_name\": \"toy_twice\","
    " \"workspace_offset\": \"16384\"}, \"inputs\": [[0, 0, 0]]},"
    "{\"op\": \"tvm_op\", \"name\": \"add\", \"attrs\": {\"num_outputs\": \"1\","
    " \"num_inputs\": \"2\", \"flatten_data\": \"0\", \"func_name\": \"toy_add\"},"
    " \"inputs\": [[2, 0, 0], [1, 0, 0]]}],"
    "\"arg_nodes\": [0, 1], \"heads\": [[3, 0, 0]],"
    "\"attrs\": {\"dltype\": [\"list_str\", [\"float32\", \"float32\", \"float32\", \"float32\"]],"
    "\"shape\": [\"list_shape\", [[64, 64], [], [64, 64], [64, 64]]],"
    "\"storage_id\": [\"list_int\", [0, 1, 2, 3]],"
    "\"storage_offset\": [\"list_int\", [-1, -1, 0, -1]]},"
    "\"node_row_ptr\": [0, 1, 2, 3, 4]}";
static const MicroTVMGraph kGraph = {kJson, sizeof(kJson) - 1, NODES, NODES,     NODES,
                                     4,     kKernels,          1,     &kConstant};

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

void TVMPlatformAbort(tvm_crt_error_t code) {
  TVMLogf("abort: %s", MicroTVMStatusString(code));
  exit(0);
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

static const char *CountedCycles(void) { return "counter 12"; }

int main(int argc, char **argv) {
  static _Alignas(16) uint8_t io[2 * ELEMENTS * 4];
  static _Alignas(16) uint8_t workspace[WORKSPACE_BYTES];
  static _Alignas(16) uint8_t table[MICROTVM_GRAPH_TABLE_BYTES(STEPS, ARGUMENTS)];
  static MicroTVMGraphExecutor executor;
  static MicroTVMRpcServer server;
  if (argc != 4) {
    fprintf(stderr, "usage: host_server PACKET_BYTES aot|graph|host_driven POOL_BYTES\n");
    return 2;
  }
  /* From the heap, so that the sanitizer guards their ends. */
  const size_t packet_bytes = strtoul(argv[1], NULL, 10);
  const size_t pool_bytes = strtoul(argv[3], NULL, 10);
  uint8_t *packet_buffer = malloc(packet_bytes);
  uint8_t *pool = malloc(pool_bytes);
  const bool host_driven = strcmp(argv[2], "host_driven") == 0;
  const MicroTVMRpcServerConfig config = {.write = WriteStdout,
                                          .packet_buffer = packet_buffer,
                                          .packet_bytes = packet_bytes,
                                          .build_id = "0123456789abcdef",
                                          .executor = host_driven ? NULL : &executor.base,
                                          .graph = &kGraph,
                                          .pool = pool,
                                          .pool_bytes = pool_bytes,
                                          .cycles = CountedCycles};
  int32_t status = kMicroTVMOk;
  if (strcmp(argv[2], "aot") == 0) {
    status = MicroTVMAotExecutorInit(&executor.base, &kToy, io, sizeof(io), workspace,
                                     sizeof(workspace));
  } else if (strcmp(argv[2], "graph") == 0) {
    status = MicroTVMGraphExecutorInit(&executor, &kToy, &kGraph, io, sizeof(io), workspace,
                                       sizeof(workspace), table, sizeof(table));
  }
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
  free(pool);
  if (status < 0) {
    fprintf(stderr, "%s\n", MicroTVMStatusString(status));
    return 1;
  }
  return 0;
}
