/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of kernels and of the model: reads and checks their arguments, makes the calls, and
 * measures how long they take. */
#include "rpc_calls.h"

#include <microtvm/platform.h>

#include "memory.h"
#include "rpc_memory.h"
#include "seconds.h"

#define MAX_SETTING (UINT32_C(1) << 30)
#define NS_PER_MS 1000000u
#define MAX_NUMBER MAX_SETTING /* of calls in one measurement */
#define RESULT_BYTES 8u        /* of one measurement: the bits of a double */

/* A call with its arguments checked, which can be made again and again. */
typedef struct {
  const MicroTVMKernel *kernel; /* null: run the model */
  uint8_t *workspace;
  void *pool_block; /* the workspace, when it is from the pool */
  void *arguments[MICROTVM_MAX_KERNEL_ARGUMENTS];
} Call;

uint32_t MicroTVMKernelHandle(const MicroTVMRpcServer *server, const void *name,
                              uint64_t name_bytes) {
  const MicroTVMGraph *graph = server->graph;
  for (uint32_t i = 0; graph != NULL && i < graph->num_kernels; ++i) {
    if (MicroTVMTextEquals(graph->kernels[i].name, name, name_bytes)) {
      return MICROTVM_HANDLE(kHandleKernel, i);
    }
  }
  return 0;
}

/* Reads a tensor that a kernel will read, or write. */
static int32_t ReadKernelArgument(const MicroTVMRpcServer *server, MicroTVMRequest *request,
                                  const MicroTVMKernel *kernel, uint32_t index, void **argument) {
  const bool written = index >= (uint32_t)(kernel->num_args - kernel->num_outputs);
  MicroTVMValue value;
  MicroTVMReadValue(&request->reader, &value);
  MicroTVMTextAppend(&request->detail, "argument ");
  MicroTVMTextAppendUnsigned(&request->detail, index);
  if (value.type != kValueTensorView) {
    return kMicroTVMErrorArgumentType;
  }
  if (kernel->arg_bytes != NULL && value.tensor.size_bytes != kernel->arg_bytes[index]) {
    MicroTVMTextAppend(&request->detail, " must have ");
    MicroTVMTextAppendUnsigned(&request->detail, kernel->arg_bytes[index]);
    MicroTVMTextAppend(&request->detail, " bytes");
    return kMicroTVMErrorTensor;
  }
  if (written ? !MicroTVMServerMayWrite(server, value.tensor.address, value.tensor.size_bytes)
              : !MicroTVMServerMayRead(server, value.tensor.address, value.tensor.size_bytes)) {
    return kMicroTVMErrorAddress;
  }
  *argument = (void *)value.tensor.address;
  if (!MicroTVMIsAligned(*argument)) {
    return kMicroTVMErrorMisaligned;
  }
  MicroTVMTextClear(&request->detail);
  return kMicroTVMOk;
}

/* Finds scratch memory for a kernel: in the pool, or else the executor's workspace, which holds
 * nothing between two runs. */
static int32_t FindWorkspace(MicroTVMRpcServer *server, MicroTVMRequest *request, Call *call) {
  const uint32_t size_bytes = call->kernel->workspace_bytes;
  const MicroTVMExecutor *executor = server->executor;
  if (size_bytes == 0) {
    return kMicroTVMOk;
  }
  if (executor != NULL && size_bytes <= executor->workspace_bytes) {
    call->workspace = executor->workspace;
    return kMicroTVMOk;
  }
  const int32_t status = MicroTVMServerAllocate(server, request, size_bytes, &call->pool_block);
  call->workspace = call->pool_block;
  return status;
}

/* Reads the arguments of a call of a kernel; any handle but a kernel's stands for the model. When
 * this returns 0, EndCall has to follow. */
static int32_t BeginCall(MicroTVMRpcServer *server, MicroTVMRequest *request, uint32_t handle,
                         uint32_t num_arguments, Call *call) {
  call->kernel = NULL;
  call->workspace = NULL;
  call->pool_block = NULL;
  if (MICROTVM_HANDLE_KIND(handle) != kHandleKernel) {
    if (server->executor == NULL) {
      return kMicroTVMErrorNoExecutor;
    }
    return num_arguments == 0 ? kMicroTVMOk : kMicroTVMErrorArgumentCount;
  }
  call->kernel = &server->graph->kernels[MICROTVM_HANDLE_INDEX(handle)];
  if (num_arguments != call->kernel->num_args) {
    MicroTVMTextAppendUnsigned(&request->detail, call->kernel->num_args);
    MicroTVMTextAppend(&request->detail, " tensors are expected, inputs first");
    return kMicroTVMErrorArgumentCount;
  }
  if (num_arguments > MICROTVM_MAX_KERNEL_ARGUMENTS) {
    MicroTVMTextAppend(&request->detail, "more than MICROTVM_MAX_KERNEL_ARGUMENTS");
    return kMicroTVMErrorUnsupported;
  }
  for (uint32_t i = 0; i < num_arguments; ++i) {
    const int32_t status =
        ReadKernelArgument(server, request, call->kernel, i, &call->arguments[i]);
    if (status != kMicroTVMOk) {
      return status;
    }
  }
  return FindWorkspace(server, request, call);
}

static void EndCall(MicroTVMRpcServer *server, const Call *call) {
  if (call->pool_block != NULL) {
    (void)MicroTVMPoolFree(&server->pool, (uintptr_t)call->pool_block);
  }
}

static int32_t MakeCall(const MicroTVMRpcServer *server, const Call *call) {
  const int32_t status = call->kernel != NULL ? call->kernel->call(call->arguments, call->workspace)
                                              : MicroTVMExecutorRun(server->executor);
  return status > 0 ? kMicroTVMErrorModel : status;
}

/* Makes a call `number` times and measures that. The timer is stopped in any case. */
static int32_t MeasureCalls(const MicroTVMRpcServer *server, const Call *call, uint32_t number,
                            double *seconds) {
  int32_t status = kMicroTVMOk;
  int32_t timer_status = TVMPlatformTimerStart();
  if (timer_status != kMicroTVMOk) {
    return timer_status < 0 ? timer_status : kMicroTVMErrorTimer;
  }
  for (uint32_t i = 0; i < number && status == kMicroTVMOk; ++i) {
    status = MakeCall(server, call);
  }
  timer_status = TVMPlatformTimerStop(seconds);
  if (status != kMicroTVMOk) {
    return status;
  }
  return timer_status > 0 ? kMicroTVMErrorTimer : timer_status;
}

int32_t MicroTVMCallKernel(MicroTVMRpcServer *server, MicroTVMRequest *request, uint32_t handle,
                           uint32_t num_arguments) {
  Call call;
  int32_t status = BeginCall(server, request, handle, num_arguments, &call);
  if (status == kMicroTVMOk) {
    status = MakeCall(server, &call);
    EndCall(server, &call);
  }
  if (status == kMicroTVMOk) {
    MicroTVMReturnNone(server);
  }
  return status;
}

int32_t MicroTVMCallModelRun(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  const Call call = {.kernel = NULL};
  double seconds = 0.0;
  int32_t status;
  (void)request;
  if (server->executor == NULL) {
    return kMicroTVMErrorNoExecutor;
  }
  status = MeasureCalls(server, &call, 1, &seconds);
  if (status == kMicroTVMOk) {
    MicroTVMReturnFloat(server, MicroTVMDoubleBits(seconds));
  }
  return status;
}

/* ---- time evaluators ---- */

/* Reads a whole number of at least `minimum`. */
static int32_t ReadSetting(MicroTVMRequest *request, uint32_t minimum, uint32_t *setting) {
  MicroTVMValue value;
  MicroTVMReadValue(&request->reader, &value);
  if (value.type != kValueInt) {
    return kMicroTVMErrorArgumentType;
  }
  if (value.bits > MAX_SETTING || value.bits < minimum) {
    return kMicroTVMErrorUnsupported;
  }
  *setting = (uint32_t)value.bits;
  return kMicroTVMOk;
}

/* The settings as the client sends them, in their order. A setting of a machine that has nothing
 * to cool or flush must be off. */
static int32_t ReadSettings(const MicroTVMRpcServer *server, MicroTVMRequest *request,
                            MicroTVMTimeEvaluator *evaluator) {
  uint32_t device_type = 0;
  uint32_t device_id = 0;
  uint32_t cooldown_interval_ms = 0;
  uint32_t repeats_to_cooldown = 0;
  uint32_t cache_flush_bytes = 0;
  MicroTVMValue preprocessing;
  const struct {
    const char *name;
    uint32_t minimum;
    uint32_t *value;
  } settings[] = {
      {"device_type", kDeviceTypeCpu, &device_type},
      {"device_id", kDeviceIdCpu, &device_id},
      {"number", 1, &evaluator->number},
      {"repeat", 1, &evaluator->repeat},
      {"min_repeat_ms", 0, &evaluator->min_repeat_ms},
      {"limit_zero_time_iterations", 0, &evaluator->limit_zero_time_iterations},
      {"cooldown_interval_ms", 0, &cooldown_interval_ms},
      {"repeats_to_cooldown", 0, &repeats_to_cooldown},
      {"cache_flush_bytes", 0, &cache_flush_bytes},
  };
  for (uint32_t i = 0; i < sizeof(settings) / sizeof(settings[0]); ++i) {
    const int32_t status = ReadSetting(request, settings[i].minimum, settings[i].value);
    if (status != kMicroTVMOk) {
      MicroTVMTextAppend(&request->detail, settings[i].name);
      return status;
    }
  }
  MicroTVMReadValue(&request->reader, &preprocessing);
  if (preprocessing.type != kValueRawString) {
    return kMicroTVMErrorArgumentType;
  }
  if (device_type != kDeviceTypeCpu || device_id != kDeviceIdCpu || cooldown_interval_ms > 0 ||
      cache_flush_bytes > 0 || preprocessing.bits > 0) {
    MicroTVMTextAppend(&request->detail,
                       "no other device, cooldown, cache flush or f_preproc is supported");
    return kMicroTVMErrorUnsupported;
  }
  if (evaluator->repeat > MicroTVMServerMaxReturnedBytes(server) / RESULT_BYTES) {
    MicroTVMTextAppend(&request->detail, "repeat is at most ");
    MicroTVMTextAppendUnsigned(&request->detail,
                               MicroTVMServerMaxReturnedBytes(server) / RESULT_BYTES);
    return kMicroTVMErrorUnsupported;
  }
  return kMicroTVMOk;
}

int32_t MicroTVMCreateTimeEvaluator(MicroTVMRpcServer *server, MicroTVMRequest *request,
                                    uint32_t target) {
  MicroTVMTimeEvaluator evaluator;
  const int32_t status = ReadSettings(server, request, &evaluator);
  if (status != kMicroTVMOk) {
    return status;
  }
  for (uint32_t i = 0; i < MICROTVM_MAX_TIME_EVALUATORS; ++i) {
    if (server->time_evaluators[i].target == 0) {
      evaluator.target = target;
      server->time_evaluators[i] = evaluator;
      MicroTVMReturnFunction(server, MICROTVM_HANDLE(kHandleTimeEvaluator, i));
      return kMicroTVMOk;
    }
  }
  MicroTVMTextAppend(&request->detail, "there are ");
  MicroTVMTextAppendUnsigned(&request->detail, MICROTVM_MAX_TIME_EVALUATORS);
  return kMicroTVMErrorTooMany;
}

/* Measures once more, and gives the mean time of a call as the bits of a double. `*number`, the
 * calls of one measurement, grows until they take the time that they should. */
static int32_t Measure(const MicroTVMRpcServer *server, const Call *call,
                       const MicroTVMTimeEvaluator *evaluator, uint32_t *number,
                       uint64_t *mean_seconds) {
  const uint64_t min_ns = (uint64_t)evaluator->min_repeat_ms * NS_PER_MS;
  uint32_t zero_times = 0;
  uint64_t ns;
  bool again;
  do {
    double seconds = 0.0;
    const int32_t status = MeasureCalls(server, call, *number, &seconds);
    if (status != kMicroTVMOk) {
      return status;
    }
    ns = MicroTVMNanoseconds(seconds);
    *mean_seconds = MicroTVMMeanSeconds(ns, *number);
    zero_times += ns == 0 ? 1u : 0u;
    again =
        ns < min_ns && zero_times < evaluator->limit_zero_time_iterations && *number < MAX_NUMBER;
    if (again && ns > 0) {
      /* As many calls more as should be enough. */
      do {
        *number *= 2u;
        ns *= 2u;
      } while (ns < min_ns && *number < MAX_NUMBER);
    }
  } while (again);
  return kMicroTVMOk;
}

int32_t MicroTVMCallTimeEvaluator(MicroTVMRpcServer *server, MicroTVMRequest *request,
                                  uint32_t handle, uint32_t num_arguments) {
  const MicroTVMTimeEvaluator *evaluator = &server->time_evaluators[MICROTVM_HANDLE_INDEX(handle)];
  /* The request was read when the first result comes: its buffer holds the results. */
  uint8_t *results = server->reader.payload;
  uint32_t number = evaluator->number;
  Call call;
  int32_t status = BeginCall(server, request, evaluator->target, num_arguments, &call);
  if (status != kMicroTVMOk) {
    return status;
  }
  status = MakeCall(server, &call); /* the first call is not measured */
  for (uint32_t i = 0; i < evaluator->repeat && status == kMicroTVMOk; ++i) {
    uint64_t mean_seconds = 0;
    status = Measure(server, &call, evaluator, &number, &mean_seconds);
    for (uint32_t j = 0; j < RESULT_BYTES; ++j) {
      results[i * RESULT_BYTES + j] = (uint8_t)(mean_seconds >> (8u * j));
    }
  }
  EndCall(server, &call);
  if (status == kMicroTVMOk) {
    MicroTVMReturnBytes(server, results, evaluator->repeat * RESULT_BYTES);
  }
  return status;
}
