/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that a client finds by name, and what stands behind its handles. */
#include "rpc_functions.h"

#include "rpc_calls.h"
#include "rpc_memory.h"

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

/* Gives the most bytes of the stack that were ever used; 0 when the port does not paint it. */
static int32_t StackBytes(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  size_t unused = 0;
  (void)request;
  while (unused < server->stack_bytes && server->stack[unused] == MICROTVM_STACK_PAINT) {
    ++unused;
  }
  MicroTVMReturnInt(server, (int64_t)(server->stack_bytes - unused));
  return kMicroTVMOk;
}

/* Gives what the CPU counted in the latest measurement: see cycles.h. */
static int32_t Cycles(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  (void)request;
  MicroTVMReturnString(server, server->cycles != NULL ? server->cycles() : "");
  return kMicroTVMOk;
}

/* ---- the model ---- */

static int32_t ExecutorName(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  (void)request;
  MicroTVMReturnString(server, server->executor != NULL ? server->executor->name : "host_driven");
  return kMicroTVMOk;
}

static int32_t ExecutorBytes(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  (void)request;
  MicroTVMReturnInt(server, server->executor != NULL ? (int64_t)server->executor->own_bytes : 0);
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

/* Gives one of the inputs or outputs, whose number is the only argument. */
static int32_t GetTensor(MicroTVMRpcServer *server, MicroTVMRequest *request, bool is_output) {
  const MicroTVMExecutor *executor = server->executor;
  const MicroTVMModel *model;
  uint32_t index = 0;
  int32_t status;
  if (executor == NULL) {
    return kMicroTVMErrorNoExecutor;
  }
  model = executor->model;
  status = ReadIndex(request, is_output ? model->num_outputs : model->num_inputs, &index);
  if (status == kMicroTVMOk) {
    MicroTVMReturnTensor(server, is_output ? &model->outputs[index] : &model->inputs[index],
                         is_output ? MicroTVMExecutorOutput(executor, index)
                                   : MicroTVMExecutorInput(executor, index));
  }
  return status;
}

static int32_t GetInput(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  return GetTensor(server, request, false);
}

static int32_t GetOutput(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  return GetTensor(server, request, true);
}

/* Begins a sequence: gives the model's states their initial values. */
static int32_t ResetModel(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  (void)request;
  if (server->executor == NULL) {
    return kMicroTVMErrorNoExecutor;
  }
  MicroTVMExecutorReset(server->executor);
  MicroTVMReturnNone(server);
  return kMicroTVMOk;
}

static int32_t GetConstant(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  const MicroTVMGraph *graph = server->graph;
  MicroTVMValue name;
  MicroTVMReadValue(&request->reader, &name);
  if (name.type != kValueRawString) {
    return kMicroTVMErrorArgumentType;
  }
  for (uint32_t i = 0; graph != NULL && i < graph->num_constants; ++i) {
    const MicroTVMConstant *constant = &graph->constants[i];
    if (MicroTVMTextEquals(constant->info.name, name.text, name.bits)) {
      MicroTVMReturnTensor(server, &constant->info, MICROTVM_ARGUMENT(constant));
      return kMicroTVMOk;
    }
  }
  MicroTVMTextAppendBytes(&request->detail, name.text, (size_t)name.bits);
  return kMicroTVMErrorUnknownConstant;
}

/* Gives a tensor again with its byte offset in its address: TVM's client loses the offset of a view
 * when it copies. */
static int32_t MemoryView(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  const uint8_t *bytes = request->reader.data;
  MicroTVMValue tensor;
  MicroTVMReadValue(&request->reader, &tensor);
  if (tensor.type != kValueTensorView) {
    return kMicroTVMErrorArgumentType;
  }
  if (!MicroTVMServerMayRead(server, tensor.tensor.address, tensor.tensor.size_bytes)) {
    return kMicroTVMErrorAddress;
  }
  MicroTVMReturnView(server, bytes, (size_t)(request->reader.data - bytes), tensor.tensor.address);
  return kMicroTVMOk;
}

/* ---- the system library ---- */

static int32_t SystemLib(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  (void)request;
  MicroTVMReturnModule(server, MICROTVM_HANDLE(kHandleModule, 0));
  return kMicroTVMOk;
}

/* Finds a kernel: module, name, whether to look into imported modules (there are none). */
static int32_t ModuleGetFunction(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  MicroTVMValue module;
  MicroTVMValue name;
  uint32_t handle;
  MicroTVMReadValue(&request->reader, &module);
  MicroTVMReadValue(&request->reader, &name);
  if (module.type != kValueModule || name.type != kValueRawString) {
    return kMicroTVMErrorArgumentType;
  }
  if (module.bits != MICROTVM_HANDLE(kHandleModule, 0)) {
    return kMicroTVMErrorUnknownHandle;
  }
  handle = MicroTVMKernelHandle(server, name.text, name.bits);
  if (handle != 0) {
    MicroTVMReturnFunction(server, handle);
  } else {
    MicroTVMReturnNone(server);
  }
  return kMicroTVMOk;
}

/* ---- names and handles ---- */

static int32_t CreateTimeEvaluator(MicroTVMRpcServer *server, MicroTVMRequest *request);

static const struct {
  const char *name;
  RemoteFunction function;
  uint32_t num_arguments;
} kFunctions[] = {
    {"microtvm.build_id", BuildId, 0},
    {"microtvm.stack_bytes", StackBytes, 0},
    {"microtvm.executor", ExecutorName, 0},
    {"microtvm.model.get_input", GetInput, 1},
    {"microtvm.model.get_output", GetOutput, 1},
    {"microtvm.model.run", MicroTVMCallModelRun, 0},
    {"microtvm.model.get_constant", GetConstant, 1},
    {"microtvm.model.executor_bytes", ExecutorBytes, 0},
    {"microtvm.memory.view", MemoryView, 1},
    {"ffi.SystemLib", SystemLib, 0},
    {"tvm.rpc.server.ModuleGetFunction", ModuleGetFunction, 3},
    {"tvm.rpc.server.GetCRTMaxPacketSize", MaxPacketSize, 0},
    {"runtime.RPCTimeEvaluator", CreateTimeEvaluator, 12},
    {"microtvm.model.reset", ResetModel, 0},
    {"microtvm.cycles", Cycles, 0},
};

#define NUM_FUNCTIONS (sizeof(kFunctions) / sizeof(kFunctions[0]))

uint32_t MicroTVMFunctionHandle(const void *name, uint64_t name_bytes) {
  for (uint32_t i = 0; i < NUM_FUNCTIONS; ++i) {
    if (MicroTVMTextEquals(kFunctions[i].name, name, name_bytes)) {
      return MICROTVM_HANDLE(kHandleFunction, i);
    }
  }
  return 0;
}

static bool IsModelRun(uint32_t handle) {
  return MICROTVM_HANDLE_KIND(handle) == kHandleFunction &&
         kFunctions[MICROTVM_HANDLE_INDEX(handle)].function == MicroTVMCallModelRun;
}

/* Reads which function is meant: module or none, name. */
static int32_t ReadTarget(const MicroTVMRpcServer *server, MicroTVMRequest *request,
                          uint32_t *handle) {
  MicroTVMValue module;
  MicroTVMValue name;
  MicroTVMReadValue(&request->reader, &module);
  MicroTVMReadValue(&request->reader, &name);
  if ((module.type != kValueModule && module.type != kValueNone) || name.type != kValueRawString) {
    return kMicroTVMErrorArgumentType;
  }
  *handle = module.type == kValueModule ? MicroTVMKernelHandle(server, name.text, name.bits)
                                        : MicroTVMFunctionHandle(name.text, name.bits);
  if (*handle == 0) {
    MicroTVMTextAppendBytes(&request->detail, name.text, (size_t)name.bits);
    return kMicroTVMErrorUnknownFunction;
  }
  if (module.type == kValueNone && !IsModelRun(*handle)) {
    MicroTVMTextAppend(&request->detail, "only kernels and microtvm.model.run can be timed");
    return kMicroTVMErrorUnsupported;
  }
  return kMicroTVMOk;
}

static int32_t CreateTimeEvaluator(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  uint32_t target = 0;
  const int32_t status = ReadTarget(server, request, &target);
  return status == kMicroTVMOk ? MicroTVMCreateTimeEvaluator(server, request, target) : status;
}

const char *MicroTVMHandleName(const MicroTVMRpcServer *server, uint64_t handle) {
  if (handle > UINT32_MAX) {
    return NULL;
  }
  const uint32_t index = MICROTVM_HANDLE_INDEX((uint32_t)handle);
  switch (MICROTVM_HANDLE_KIND((uint32_t)handle)) {
    case kHandleFunction:
      return index < NUM_FUNCTIONS ? kFunctions[index].name : NULL;
    case kHandleKernel:
      return server->graph != NULL && index < server->graph->num_kernels
                 ? server->graph->kernels[index].name
                 : NULL;
    case kHandleTimeEvaluator:
      return index < MICROTVM_MAX_TIME_EVALUATORS && server->time_evaluators[index].target != 0
                 ? "time evaluator"
                 : NULL;
    case kHandleModule:
      return index == 0 ? "system library" : NULL;
    default:
      return NULL;
  }
}

int32_t MicroTVMFreeHandle(MicroTVMRpcServer *server, uint64_t handle) {
  if (MicroTVMHandleName(server, handle) == NULL) {
    return kMicroTVMErrorUnknownHandle;
  }
  /* Everything else is constant: there is nothing to free. */
  if (MICROTVM_HANDLE_KIND((uint32_t)handle) == kHandleTimeEvaluator) {
    server->time_evaluators[MICROTVM_HANDLE_INDEX((uint32_t)handle)].target = 0;
  }
  return kMicroTVMOk;
}

int32_t MicroTVMCallHandle(MicroTVMRpcServer *server, MicroTVMRequest *request, uint64_t handle,
                           uint32_t num_arguments) {
  const uint32_t index = MICROTVM_HANDLE_INDEX((uint32_t)handle);
  if (MicroTVMHandleName(server, handle) == NULL) {
    return kMicroTVMErrorUnknownHandle;
  }
  switch (MICROTVM_HANDLE_KIND((uint32_t)handle)) {
    case kHandleFunction:
      if (num_arguments != kFunctions[index].num_arguments) {
        return kMicroTVMErrorArgumentCount;
      }
      return kFunctions[index].function(server, request);
    case kHandleKernel:
      return MicroTVMCallKernel(server, request, (uint32_t)handle, num_arguments);
    case kHandleTimeEvaluator:
      return MicroTVMCallTimeEvaluator(server, request, (uint32_t)handle, num_arguments);
    default:
      return kMicroTVMErrorUnknownHandle; /* a module cannot be called */
  }
}
