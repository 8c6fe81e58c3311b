/* SPDX-License-Identifier: Apache-2.0 */
/* What the other tests cannot reach over the wire: the executor's checks, the frame writer's
 * errors, the log sink, the server's own arguments. Prints the line of each check that fails. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <microtvm/aot_executor.h>
#include <microtvm/graph_executor.h>
#include <microtvm/log.h>
#include <microtvm/pool.h>
#include <microtvm/rpc_server.h>

#include "json.h"
#include "seconds.h"

static int failures;

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                     \
    }                                                                 \
  } while (0)

tvm_crt_error_t TVMPlatformTimerStart(void) { return kMicroTVMErrorTimer; }

tvm_crt_error_t TVMPlatformTimerStop(double *elapsed_seconds) {
  *elapsed_seconds = 0.0;
  return kMicroTVMErrorTimer;
}

void TVMPlatformAbort(tvm_crt_error_t code) {
  (void)code;
  exit(3);
}

size_t TVMPlatformFormatMessage(char *buffer, size_t size_bytes, const char *format,
                                va_list arguments) {
  return (size_t)vsnprintf(buffer, size_bytes, format, arguments);
}

static int32_t RunNothing(void *const *inputs, void *const *outputs, uint8_t *workspace) {
  (void)inputs;
  (void)outputs;
  (void)workspace;
  return -1000;
}

static const int32_t kShape[] = {5};
static const MicroTVMTensorInfo kInputs[] = {{"a", 5, 1, kMicroTVMTypeInt, 8, kShape},
                                             {"b", 4, 0, kMicroTVMTypeFloat, 32, NULL}};
static const MicroTVMTensorInfo kOutputs[] = {{"c", 20, 1, kMicroTVMTypeInt, 32, kShape}};
static const MicroTVMModel kModel = {"m", 2, 1, kInputs, kOutputs, 32, RunNothing, 0, NULL};
static const MicroTVMGraph kNoGraph = {"{}", 2, 0, 0, 0, 0, NULL, 0, NULL};

#define IO_BYTES (16 + 16 + 32)

static void TestExecutor(void) {
  static _Alignas(16) uint8_t io[IO_BYTES + 16];
  static _Alignas(16) uint8_t workspace[32];
  MicroTVMExecutor executor;
  MicroTVMModel model = kModel;

  memset(io, 0xAA, sizeof(io));
  CHECK(MicroTVMAotExecutorInit(&executor, &kModel, io, IO_BYTES, workspace, 32) == kMicroTVMOk);
  CHECK(MicroTVMExecutorInput(&executor, 0) == io);
  CHECK(MicroTVMExecutorInput(&executor, 1) == io + 16);
  CHECK(MicroTVMExecutorInput(&executor, 2) == NULL);
  CHECK(MicroTVMExecutorOutput(&executor, 0) == io + 32);
  CHECK(MicroTVMExecutorOutput(&executor, 1) == NULL);
  CHECK(MicroTVMExecutorRun(&executor) == -1000);
  CHECK(io[0] == 0 && io[IO_BYTES - 1] == 0 && io[IO_BYTES] == 0xAA);

  const uintptr_t start = (uintptr_t)io;
  CHECK(MicroTVMExecutorOwns(&executor, start, IO_BYTES));
  CHECK(!MicroTVMExecutorOwns(&executor, start, IO_BYTES + 1));
  CHECK(!MicroTVMExecutorOwns(&executor, start - 1, 2));
  CHECK(MicroTVMExecutorOwns(&executor, start + IO_BYTES - 1, 1));
  CHECK(!MicroTVMExecutorOwns(&executor, start + IO_BYTES - 1, 2));
  CHECK(!MicroTVMExecutorOwns(&executor, start + 1, UINTPTR_MAX));
  CHECK(!MicroTVMExecutorOwns(&executor, UINTPTR_MAX, 2));
  CHECK(!MicroTVMExecutorOwns(&executor, 0, 1));
  CHECK(MicroTVMExecutorOwns(&executor, (uintptr_t)workspace, 32));

  CHECK(MicroTVMAotExecutorInit(&executor, &kModel, io, IO_BYTES - 1, workspace, 32) ==
        kMicroTVMErrorBufferTooSmall);
  CHECK(MicroTVMAotExecutorInit(&executor, &kModel, io, 31, workspace, 32) ==
        kMicroTVMErrorBufferTooSmall);
  CHECK(MicroTVMAotExecutorInit(&executor, &kModel, io, IO_BYTES, workspace, 31) ==
        kMicroTVMErrorBufferTooSmall);
  CHECK(MicroTVMAotExecutorInit(&executor, &kModel, io, IO_BYTES, NULL, 0) ==
        kMicroTVMErrorBufferTooSmall);
  CHECK(MicroTVMAotExecutorInit(&executor, &kModel, io + 8, IO_BYTES, workspace, 32) ==
        kMicroTVMErrorMisaligned);
  CHECK(MicroTVMAotExecutorInit(&executor, &kModel, io, IO_BYTES, workspace + 1, 31) ==
        kMicroTVMErrorMisaligned);
  CHECK(MicroTVMAotExecutorInit(&executor, NULL, io, IO_BYTES, workspace, 32) ==
        kMicroTVMErrorInvalidArgument);
  model.num_inputs = MICROTVM_MAX_TENSORS;
  CHECK(MicroTVMAotExecutorInit(&executor, &model, io, IO_BYTES, workspace, 32) ==
        kMicroTVMErrorTooManyTensors);
  model.num_inputs = UINT32_MAX;
  CHECK(MicroTVMAotExecutorInit(&executor, &model, io, IO_BYTES, workspace, 32) ==
        kMicroTVMErrorTooManyTensors);
  model = kModel;
  model.workspace_bytes = 0;
  CHECK(MicroTVMAotExecutorInit(&executor, &model, io, IO_BYTES, NULL, 0) == kMicroTVMOk);
  CHECK(!MicroTVMExecutorOwns(&executor, 0, 0));
}

/* Adds the input to the state, and gives the sum. */
static int32_t RunSum(void *const *inputs, void *const *outputs, uint8_t *workspace) {
  int32_t *state = (int32_t *)outputs[1];
  (void)workspace;
  CHECK(inputs[1] == outputs[1]);
  state[0] += *(const int32_t *)inputs[0];
  memcpy(outputs[0], state, sizeof(*state));
  return 0;
}

static void TestStates(void) {
  static _Alignas(16) uint8_t io[3 * 16];
  static const int32_t first = 40;
  static const void *const initial[] = {&first};
  static const void *const zeros[] = {NULL};
  static const MicroTVMTensorInfo infos[] = {{"x", 4, 0, kMicroTVMTypeInt, 32, NULL},
                                             {"state", 4, 0, kMicroTVMTypeInt, 32, NULL}};
  static const MicroTVMTensorInfo longer[] = {{"y", 4, 0, kMicroTVMTypeInt, 32, NULL},
                                              {"state", 20, 1, kMicroTVMTypeInt, 32, kShape}};
  MicroTVMModel model = {"sum", 2, 2, infos, infos, 0, RunSum, 1, initial};
  MicroTVMExecutor executor;

  CHECK(MicroTVMAotExecutorInit(&executor, &model, io, sizeof(io) - 1, NULL, 0) ==
        kMicroTVMErrorBufferTooSmall);
  CHECK(MicroTVMAotExecutorInit(&executor, &model, io, sizeof(io), NULL, 0) == kMicroTVMOk);
  *(int32_t *)MicroTVMExecutorInput(&executor, 0) = 1;
  CHECK(MicroTVMExecutorRun(&executor) == 0);
  CHECK(MicroTVMExecutorRun(&executor) == 0);
  CHECK(*(int32_t *)MicroTVMExecutorOutput(&executor, 0) == 42);
  MicroTVMExecutorReset(&executor);
  CHECK(MicroTVMExecutorRun(&executor) == 0);
  CHECK(*(int32_t *)MicroTVMExecutorOutput(&executor, 0) == 41);

  model.initial_states = zeros;
  MicroTVMExecutorReset(&executor);
  CHECK(MicroTVMExecutorRun(&executor) == 0);
  CHECK(*(int32_t *)MicroTVMExecutorOutput(&executor, 0) == 1);

  model.outputs = longer;
  CHECK(MicroTVMAotExecutorInit(&executor, &model, io, sizeof(io), NULL, 0) ==
        kMicroTVMErrorInvalidArgument);
  model.outputs = infos;
  model.num_states = 3;
  CHECK(MicroTVMAotExecutorInit(&executor, &model, io, sizeof(io), NULL, 0) ==
        kMicroTVMErrorInvalidArgument);
}

static void TestPool(void) {
  static _Alignas(16) uint8_t buffer[16 * 16 + 7];
  MicroTVMPool pool;
  void *blocks[4];

  MicroTVMPoolInit(&pool, NULL, 100);
  CHECK(MicroTVMPoolAllocate(&pool, 1, &blocks[0]) == kMicroTVMErrorNoMemory);
  MicroTVMPoolInit(&pool, buffer, 31);
  CHECK(MicroTVMPoolAllocate(&pool, 0, &blocks[0]) == kMicroTVMErrorNoMemory);
  CHECK(!MicroTVMPoolOwns(&pool, (uintptr_t)buffer, 0));

  MicroTVMPoolInit(&pool, buffer, sizeof(buffer));
  CHECK(MicroTVMPoolLargestFree(&pool) == 15 * 16);
  CHECK(MicroTVMPoolAllocate(&pool, UINT64_MAX, &blocks[0]) == kMicroTVMErrorNoMemory);
  CHECK(MicroTVMPoolAllocate(&pool, 15 * 16 + 1, &blocks[0]) == kMicroTVMErrorNoMemory);
  CHECK(MicroTVMPoolAllocate(&pool, 1, &blocks[0]) == kMicroTVMOk && blocks[0] == buffer + 16);
  CHECK(MicroTVMPoolAllocate(&pool, 32, &blocks[1]) == kMicroTVMOk && blocks[1] == buffer + 48);
  CHECK(MicroTVMPoolAllocate(&pool, 0, &blocks[2]) == kMicroTVMOk && blocks[2] == buffer + 96);
  /* What is left after the last block cannot be a block of its own, and stays part of this one. */
  CHECK(MicroTVMPoolAllocate(&pool, 7 * 16, &blocks[3]) == kMicroTVMOk);
  CHECK(MicroTVMPoolLargestFree(&pool) == 0);
  CHECK(MicroTVMPoolOwns(&pool, (uintptr_t)blocks[1], 32));
  CHECK(!MicroTVMPoolOwns(&pool, (uintptr_t)blocks[1], 33));
  CHECK(!MicroTVMPoolOwns(&pool, (uintptr_t)blocks[1] - 1, 1));
  CHECK(!MicroTVMPoolOwns(&pool, (uintptr_t)blocks[1], SIZE_MAX));

  CHECK(MicroTVMPoolFree(&pool, (uintptr_t)blocks[1] + 16) == kMicroTVMErrorAddress);
  CHECK(MicroTVMPoolFree(&pool, (uintptr_t)blocks[1]) == kMicroTVMOk);
  CHECK(MicroTVMPoolFree(&pool, (uintptr_t)blocks[1]) == kMicroTVMErrorAddress);
  CHECK(!MicroTVMPoolOwns(&pool, (uintptr_t)blocks[1], 1));
  CHECK(MicroTVMPoolLargestFree(&pool) == 32);
  CHECK(MicroTVMPoolFree(&pool, (uintptr_t)blocks[0]) == kMicroTVMOk); /* merged with the next */
  CHECK(MicroTVMPoolLargestFree(&pool) == 64);
  CHECK(MicroTVMPoolFree(&pool, (uintptr_t)blocks[3]) == kMicroTVMOk);
  CHECK(MicroTVMPoolFree(&pool, (uintptr_t)blocks[2]) == kMicroTVMOk); /* with both neighbours */
  CHECK(MicroTVMPoolLargestFree(&pool) == 15 * 16);

  CHECK(MicroTVMPoolAllocate(&pool, 16, &blocks[0]) == kMicroTVMOk);
  CHECK(MicroTVMPoolAllocate(&pool, 16, &blocks[1]) == kMicroTVMOk);
  memset(blocks[0], 0, 17); /* a byte too many */
  CHECK(MicroTVMPoolAllocate(&pool, 16, &blocks[2]) == kMicroTVMErrorPoolDamaged);
  CHECK(MicroTVMPoolFree(&pool, (uintptr_t)blocks[1]) == kMicroTVMErrorPoolDamaged);
  CHECK(!MicroTVMPoolOwns(&pool, (uintptr_t)blocks[0], 1));
  MicroTVMPoolReset(&pool);
  CHECK(MicroTVMPoolLargestFree(&pool) == 15 * 16);
}

static MicroTVMJson Json(const char *text) {
  MicroTVMJson json;
  MicroTVMJsonInit(&json, text, strlen(text));
  return json;
}

static bool Equals(const char *json_string, const char *text) {
  MicroTVMJson json = Json(json_string);
  return MicroTVMJsonEquals(MicroTVMJsonReadString(&json), text) && !json.failed;
}

static bool ReadsInt(const char *text, int32_t wanted) {
  MicroTVMJson json = Json(text);
  return MicroTVMJsonReadInt(&json) == wanted && MicroTVMJsonAtEnd(&json);
}

static bool Skips(const char *text) {
  MicroTVMJson json = Json(text);
  MicroTVMJsonSkip(&json);
  return MicroTVMJsonAtEnd(&json);
}

static void TestJson(void) {
  char deep[70];
  CHECK(Equals("\"plain\"", "plain") && Equals(" \"\"", ""));
  CHECK(!Equals("\"plain\"", "plai") && !Equals("\"plai\"", "plain") && !Equals("\"a", "a"));
  CHECK(Equals("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"));
  CHECK(Equals("\"\\u0041\\u00e9\\u20AC\"", "A\xC3\xA9\xE2\x82\xAC"));
  CHECK(Equals("\"\xC3\xA9\"", "\xC3\xA9"));
  CHECK(Equals("\"\\ud83d\\ude00\"", "\xF0\x9F\x98\x80"));
  CHECK(!Equals("\"\\ud83d\\u0041\"", "\xF0\x9F\x98\x80"));
  CHECK(!Equals("\"\\u00\"", "") && !Equals("\"\\u00zz\"", "") && !Equals("\"\\q\"", "q"));
  CHECK(!Equals("\"a\\u0000\"", "a"));

  CHECK(ReadsInt("0", 0) && ReadsInt(" -7 ", -7) && ReadsInt("2147483647", 2147483647));
  CHECK(!ReadsInt("2147483648", 0) && !ReadsInt("1.5", 1) && !ReadsInt("1e3", 1));
  CHECK(!ReadsInt("-", 0) && !ReadsInt("- 1", -1) && !ReadsInt("", 0) && !ReadsInt("x", 0));
  CHECK(!ReadsInt("99999999999999999999999", 0));

  CHECK(Skips("[1, -2.5e+3, \"]\\\"\", true, null, {\"a\": [{}]}]") && Skips("false"));
  CHECK(!Skips("[1") && !Skips("[}") && !Skips("{]") && !Skips("") && !Skips("]"));
  CHECK(!Skips("\"a") && !Skips("\"a\\") && !Skips("\"a\\\"") && !Skips("[1] 2"));
  memset(deep, '[', 33);
  memset(deep + 33, ']', 33);
  deep[66] = '\0';
  CHECK(!Skips(deep));
  deep[65] = '\0';
  CHECK(Skips(deep + 1));
}

static double FromBits(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

static void TestSeconds(void) {
  static const double kSeconds[] = {1e-9, 0.5e-6, 1e-6, 0.00072, 0.1, 1.0, 3.75, 4e3, 4.2e9};
  static const uint32_t kCounts[] = {1, 2, 3, 7, 1000, 999999, 1u << 31};
  for (size_t i = 0; i < sizeof(kSeconds) / sizeof(kSeconds[0]); ++i) {
    const uint64_t ns = MicroTVMNanoseconds(kSeconds[i]);
    const double error = (double)ns - kSeconds[i] * 1e9;
    CHECK(error <= 1.0 && error >= -1.0 - kSeconds[i] * 1e9 / 4e9);
    for (size_t j = 0; j < sizeof(kCounts) / sizeof(kCounts[0]); ++j) {
      const double wanted = (double)ns / 1e9 / (double)kCounts[j];
      const double mean = FromBits(MicroTVMMeanSeconds(ns, kCounts[j]));
      CHECK(mean <= wanted * (1.0 + 1e-15) && mean >= wanted * (1.0 - 1e-15));
    }
  }
  CHECK(MicroTVMNanoseconds(0.0) == 0 && MicroTVMNanoseconds(-1.0) == 0);
  CHECK(MicroTVMNanoseconds(1e-300) == 0 && MicroTVMNanoseconds(4.9e-324) == 0);
  CHECK(MicroTVMNanoseconds(1e300) == (uint64_t)1 << 62);
  CHECK(MicroTVMNanoseconds((double)INFINITY) == (uint64_t)1 << 62);
  CHECK(MicroTVMNanoseconds((double)NAN) == (uint64_t)1 << 62);
  CHECK(MicroTVMMeanSeconds(0, 5) == 0);
  CHECK(FromBits(MicroTVMMeanSeconds((uint64_t)1 << 62, 1)) > 4.6e9);
}

/* A link that takes a number of bytes and then fails. */
typedef struct {
  size_t left_bytes;
  size_t calls;
  uint8_t first_byte; /* of the latest portion */
  uint8_t last_type;  /* of the last message that came in one portion, see docs/protocol.md */
} Link;

static int32_t WriteLink(void *context, const uint8_t *data, size_t size_bytes) {
  Link *link = context;
  ++link->calls;
  if (size_bytes > link->left_bytes) {
    return kMicroTVMErrorWrite;
  }
  link->left_bytes -= size_bytes;
  link->first_byte = data[0];
  if (size_bytes > 9 && data[0] == 0xFF) {
    link->last_type = data[8];
  }
  return 0;
}

static void TestFrameWriter(void) {
  static const uint8_t kData[200];
  Link link = {.left_bytes = 1000};
  MicroTVMFrameWriter writer;

  MicroTVMFrameWriterInit(&writer, WriteLink, &link);
  CHECK(MicroTVMFrameWriterBegin(&writer, 200) == kMicroTVMOk);
  CHECK(MicroTVMFrameWriterBegin(&writer, 1) == kMicroTVMErrorBusy);
  MicroTVMFrameWriterPut(&writer, kData, 200);
  CHECK(MicroTVMFrameWriterEnd(&writer) == kMicroTVMOk);
  CHECK(link.left_bytes == 1000 - (1 + 2 + 4 + 200 + 2) && link.calls == 4);

  CHECK(MicroTVMFrameWriterBegin(&writer, 10) == kMicroTVMOk);
  MicroTVMFrameWriterPut(&writer, kData, 9);
  CHECK(MicroTVMFrameWriterEnd(&writer) == kMicroTVMErrorInvalidArgument);
  CHECK(MicroTVMFrameWriterBegin(&writer, 10) == kMicroTVMOk);
  MicroTVMFrameWriterPut(&writer, kData, 11);
  CHECK(MicroTVMFrameWriterEnd(&writer) == kMicroTVMErrorInvalidArgument);

  link = (Link){.left_bytes = 100};
  CHECK(MicroTVMFrameWriterBegin(&writer, 200) == kMicroTVMOk);
  MicroTVMFrameWriterPut(&writer, kData, 200);
  CHECK(MicroTVMFrameWriterEnd(&writer) == kMicroTVMErrorWrite);
  CHECK(link.calls == 2); /* not asked again after it failed */
  link = (Link){.left_bytes = 1000};
  CHECK(MicroTVMFrameWriterBegin(&writer, 0) == kMicroTVMOk);
  CHECK(MicroTVMFrameWriterEnd(&writer) == kMicroTVMOk);
}

static void TestServer(void) {
  static _Alignas(16) uint8_t io[IO_BYTES];
  static _Alignas(16) uint8_t workspace[32];
  static uint8_t packet[MICROTVM_MIN_PACKET_BYTES];
  static const uint8_t kStartSession[] = {0xFF, 0xFD, 4, 0, 0, 0, 0x2A, 0, 0, 1, 0xCE, 0x86};
  MicroTVMExecutor executor;
  MicroTVMRpcServer server;
  Link link = {.left_bytes = 1000};
  MicroTVMRpcServerConfig config = {.write = WriteLink,
                                    .write_context = &link,
                                    .packet_buffer = packet,
                                    .packet_bytes = sizeof(packet),
                                    .build_id = "id",
                                    .executor = &executor};

  TVMLogf("nobody listens");
  CHECK(MicroTVMAotExecutorInit(&executor, &kModel, io, IO_BYTES, workspace, 32) == kMicroTVMOk);
  config.packet_bytes = sizeof(packet) - 1;
  CHECK(MicroTVMRpcServerInit(&server, &config) == kMicroTVMErrorBufferTooSmall);
  config.packet_bytes = sizeof(packet);
  config.build_id = NULL;
  CHECK(MicroTVMRpcServerInit(&server, &config) == kMicroTVMErrorInvalidArgument);
  config.build_id = "id";
  config.executor = NULL;
  CHECK(MicroTVMRpcServerInit(&server, &config) == kMicroTVMErrorInvalidArgument);
  config.graph = &kNoGraph;
  config.pool = packet + 1;
  CHECK(MicroTVMRpcServerInit(&server, &config) == kMicroTVMErrorMisaligned);
  config.pool = NULL;
  config.executor = &executor;
  CHECK(MicroTVMRpcServerInit(&server, &config) == kMicroTVMOk);
  CHECK(link.calls == 1 && link.first_byte == 0xFE); /* only the first frame has this before it */

  CHECK(MicroTVMRpcServerLoop(&server, kStartSession, sizeof(kStartSession)) == kMicroTVMOk);
  CHECK(link.calls == 2 && link.first_byte == 0xFF && link.last_type == 1);
  TVMLogf("%0200d", 1); /* longer than the log's buffer */
  CHECK(link.last_type == 3);
  link.left_bytes = 3;
  TVMLogf("lost"); /* a log line that is lost is no error of the server's */
  CHECK(MicroTVMRpcServerLoop(&server, kStartSession, sizeof(kStartSession)) ==
        kMicroTVMErrorWrite);
  link.left_bytes = 1000;
  CHECK(MicroTVMRpcServerLoop(&server, kStartSession, sizeof(kStartSession)) == kMicroTVMOk);
  MicroTVMLogSetSink(NULL, NULL);
}

int main(void) {
  TestExecutor();
  TestStates();
  TestPool();
  TestJson();
  TestSeconds();
  TestFrameWriter();
  TestServer();
  return failures == 0 ? 0 : 1;
}
