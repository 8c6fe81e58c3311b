#include <microtvm/platform.h>

#include "memory.h"
#include "rpc_internal.h"

typedef int32_t (*RemoteFunction)(MicroTVMRpcServer *server, MicroTVMRequest *request);

static int32_t BuildId(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  (void)request;
  MicroTVMReturnString(server, server->build_id);
  return kMicroTVMOk;
}

static int32_t MaxPacketSize(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  (void)request;
  MicroTVMReturnInt(server, (int64_t)MicroTVMServerMaxPacketBytes(server));
  return kMicroTVMOk;
}

/* Reads the only argument, the number of one of `count` tensors. */
static int32_t ReadIndex(MicroTVMRequest *request, uint32_t count, uint32_t *index) {
  MicroTVMValue value;
  MicroTVMReadValue(&request->reader, &value);
  if (value.type != kValueInt) {
    return kMicroTVMErrorArgumentType;
  }
  if (value.bits >= count) {
    MicroTVMTextAppend(&request->detail, "there are ");
    MicroTVMTextAppendUnsigned(&request->detail, count);
    return kMicroTVMErrorIndex;
  }
  *index = (uint32_t)value.bits;
  return kMicroTVMOk;
}

static int32_t GetInput(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  const MicroTVMModel *model = server->executor->model;
  uint32_t index = 0;
  const int32_t status = ReadIndex(request, model->num_inputs, &index);
  if (status == kMicroTVMOk) {
    MicroTVMReturnTensor(server, &model->inputs[index],
                         MicroTVMAotExecutorInput(server->executor, index));
  }
  return status;
}

static int32_t GetOutput(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  const MicroTVMModel *model = server->executor->model;
  uint32_t index = 0;
  const int32_t status = ReadIndex(request, model->num_outputs, &index);
  if (status == kMicroTVMOk) {
    MicroTVMReturnTensor(server, &model->outputs[index],
                         MicroTVMAotExecutorOutput(server->executor, index));
  }
  return status;
}

static int32_t Run(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  double elapsed_seconds = 0.0;
  int32_t status;
  int32_t timer_status;
  (void)request;

  timer_status = TVMPlatformTimerStart();
  if (timer_status != kMicroTVMOk) {
    return timer_status < 0 ? timer_status : kMicroTVMErrorTimer;
  }
  status = MicroTVMAotExecutorRun(server->executor);
  timer_status = TVMPlatformTimerStop(&elapsed_seconds);
  if (status != kMicroTVMOk) {
    return status < 0 ? status : kMicroTVMErrorModel;
  }
  if (timer_status != kMicroTVMOk) {
    return timer_status < 0 ? timer_status : kMicroTVMErrorTimer;
  }
  MicroTVMReturnFloat(server, elapsed_seconds);
  return kMicroTVMOk;
}

/* A function's handle is its place here, counted from 1: no client names code by an address. */
static const struct {
  const char *name;
  RemoteFunction function;
  uint32_t num_arguments;
} kFunctions[] = {
    {"microtvm.build_id", BuildId, 0},
    {"tvm.rpc.server.GetCRTMaxPacketSize", MaxPacketSize, 0},
    {"microtvm.aot.get_input", GetInput, 1},
    {"microtvm.aot.get_output", GetOutput, 1},
    {"microtvm.aot.run", Run, 0},
};

#define NUM_FUNCTIONS (sizeof(kFunctions) / sizeof(kFunctions[0]))

uint64_t MicroTVMFunctionHandle(const void *name, uint64_t name_bytes) {
  for (uint32_t i = 0; i < NUM_FUNCTIONS; ++i) {
    const size_t length = MicroTVMTextLength(kFunctions[i].name);
    if (name_bytes == length && memcmp(name, kFunctions[i].name, length) == 0) {
      return i + 1u;
    }
  }
  return 0;
}

const char *MicroTVMFunctionName(uint64_t handle) {
  return handle >= 1 && handle <= NUM_FUNCTIONS ? kFunctions[handle - 1].name : NULL;
}

int32_t MicroTVMFunctionCall(MicroTVMRpcServer *server, MicroTVMRequest *request, uint64_t handle,
                             uint32_t num_arguments) {
  if (handle < 1 || handle > NUM_FUNCTIONS) {
    return kMicroTVMErrorUnknownHandle;
  }
  if (num_arguments != kFunctions[handle - 1].num_arguments) {
    return kMicroTVMErrorArgumentCount;
  }
  return kFunctions[handle - 1].function(server, request);
}
