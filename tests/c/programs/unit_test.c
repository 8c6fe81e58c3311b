/* What the other tests cannot reach over the wire: the executor's checks, the frame writer's
 * errors, the log sink, the server's own arguments. Prints the line of each check that fails. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <microtvm/aot_executor.h>
#include <microtvm/log.h>
#include <microtvm/rpc_server.h>

static int failures;

#define CHECK(condition)                                                  \
  do {                                                                    \
    if (!(condition)) {                                                   \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
      ++failures;                                                         \
    }                                                                     \
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
static const MicroTVMModel kModel = {"m", 2, 1, kInputs, kOutputs, 32, RunNothing};

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

  const uint64_t start = (uint64_t)(uintptr_t)io;
  CHECK(MicroTVMExecutorOwns(&executor, start, IO_BYTES));
  CHECK(!MicroTVMExecutorOwns(&executor, start, IO_BYTES + 1));
  CHECK(!MicroTVMExecutorOwns(&executor, start - 1, 2));
  CHECK(MicroTVMExecutorOwns(&executor, start + IO_BYTES - 1, 1));
  CHECK(!MicroTVMExecutorOwns(&executor, start + IO_BYTES - 1, 2));
  CHECK(!MicroTVMExecutorOwns(&executor, start + 1, UINT64_MAX));
  CHECK(!MicroTVMExecutorOwns(&executor, UINT64_MAX, 2));
  CHECK(!MicroTVMExecutorOwns(&executor, 0, 1));
  CHECK(!MicroTVMExecutorOwns(&executor, start + ((uint64_t)1 << 32), 1));
  CHECK(MicroTVMExecutorOwns(&executor, (uint64_t)(uintptr_t)workspace, 32));

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

/* A link that takes a number of bytes and then fails. */
typedef struct {
  size_t left_bytes;
  size_t calls;
  uint8_t first_byte; /* of the latest portion */
  uint8_t last_type; /* of the last message that came in one portion, see docs/protocol.md */
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
  TestFrameWriter();
  TestServer();
  return failures == 0 ? 0 : 1;
}
