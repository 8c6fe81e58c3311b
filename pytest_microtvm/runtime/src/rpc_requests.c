/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of the RPC protocol: one packet, read, checked, served and answered. */
#include "rpc_requests.h"

#include "memory.h"
#include "rpc_answers.h"
#include "rpc_functions.h"
#include "rpc_memory.h"

#define RPC_VERSION "0.8.0"

/* Each Serve... reads the whole packet, checks it, acts, answers, and returns 0; or returns a
 * negative status and has not answered. */

/* Checks that the packet was read to its end. */
static int32_t EndOfPacket(const MicroTVMPacketReader *reader) {
  if (reader->status != kMicroTVMOk) {
    return reader->status;
  }
  return reader->left_bytes > 0 ? kMicroTVMErrorPacketTrailing : kMicroTVMOk;
}

static int32_t ServeInit(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  MicroTVMPacketReader *reader = &request->reader;
  const uint64_t version_bytes = MicroTVMReadU64(reader);
  const uint8_t *version = MicroTVMReadBytes(reader, version_bytes);
  const uint32_t num_arguments = MicroTVMReadArguments(reader);

  if (reader->status != kMicroTVMOk) {
    return reader->status;
  }
  if (version_bytes != sizeof(RPC_VERSION) - 1 ||
      memcmp(version, RPC_VERSION, sizeof(RPC_VERSION) - 1) != 0) {
    MicroTVMTextAppend(&request->detail, "this server speaks " RPC_VERSION);
    return kMicroTVMErrorVersion;
  }
  /* Arguments would name a constructor of another session behind this one. */
  if (num_arguments != 0) {
    return kMicroTVMErrorArgumentCount;
  }
  server->initialized = true;
  MicroTVMAnswerNothing(server);
  return kMicroTVMOk;
}

static int32_t ServeShutdown(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  const int32_t status = EndOfPacket(&request->reader);
  if (status == kMicroTVMOk) {
    server->session_id = 0;
    server->shutdown = true;
  }
  return status;
}

static int32_t ServeCall(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  const uint64_t handle = MicroTVMReadU64(&request->reader);
  const uint32_t num_arguments = MicroTVMReadArguments(&request->reader);
  const char *name = MicroTVMHandleName(server, handle);
  if (request->reader.status != kMicroTVMOk) {
    return request->reader.status;
  }
  if (name != NULL) {
    request->operation = name;
  }
  return MicroTVMCallHandle(server, request, handle, num_arguments);
}

/* Checks that the rest of the packet is a sequence of that many values. */
static int32_t CheckArguments(MicroTVMRequest *request, uint32_t wanted) {
  const uint32_t num_arguments = MicroTVMReadArguments(&request->reader);
  if (request->reader.status != kMicroTVMOk) {
    return request->reader.status;
  }
  return num_arguments == wanted ? kMicroTVMOk : kMicroTVMErrorArgumentCount;
}

static int32_t ServeGetGlobalFunction(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  MicroTVMValue name;
  const int32_t status = CheckArguments(request, 1);
  if (status != kMicroTVMOk) {
    return status;
  }
  MicroTVMReadValue(&request->reader, &name);
  if (name.type != kValueRawString) {
    return kMicroTVMErrorArgumentType;
  }
  MicroTVMAnswerHandle(server, MicroTVMFunctionHandle(name.text, name.bits));
  return kMicroTVMOk;
}

static int32_t ServeFreeHandle(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  MicroTVMValue handle;
  int32_t status = CheckArguments(request, 1);
  if (status != kMicroTVMOk) {
    return status;
  }
  MicroTVMReadValue(&request->reader, &handle);
  if (handle.type != kValueOpaquePointer) {
    return kMicroTVMErrorArgumentType;
  }
  status = MicroTVMFreeHandle(server, handle.bits);
  if (status == kMicroTVMOk) {
    MicroTVMAnswerNothing(server);
  }
  return status;
}

/* Everything is done when it is answered, and there is one device: choosing it or waiting for it
 * is nothing to do, but the stock client does both. */
static int32_t ServeNothingToDo(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  (void)MicroTVMReadArguments(&request->reader);
  if (request->reader.status != kMicroTVMOk) {
    return request->reader.status;
  }
  MicroTVMAnswerNothing(server);
  return kMicroTVMOk;
}

static int32_t ServeCopyToRemote(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  MicroTVMPacketReader *reader = &request->reader;
  MicroTVMRemoteTensor tensor;
  uint64_t size_bytes;
  const uint8_t *data;
  int32_t status;

  MicroTVMReadTensor(reader, &tensor);
  size_bytes = MicroTVMReadU64(reader);
  data = MicroTVMReadBytes(reader, size_bytes);
  status = EndOfPacket(reader);
  if (status != kMicroTVMOk) {
    return status;
  }
  if (size_bytes > tensor.size_bytes) {
    return kMicroTVMErrorTensor;
  }
  if (!MicroTVMServerMayWrite(server, tensor.address, (size_t)size_bytes)) {
    return kMicroTVMErrorAddress;
  }
  memcpy((void *)tensor.address, data, (size_t)size_bytes);
  MicroTVMAnswerNothing(server);
  return kMicroTVMOk;
}

static int32_t ServeCopyFromRemote(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  MicroTVMPacketReader *reader = &request->reader;
  MicroTVMRemoteTensor tensor;
  uint64_t size_bytes;
  int32_t status;

  MicroTVMReadTensor(reader, &tensor);
  size_bytes = MicroTVMReadU64(reader);
  status = EndOfPacket(reader);
  if (status != kMicroTVMOk) {
    return status;
  }
  if (size_bytes > tensor.size_bytes) {
    return kMicroTVMErrorTensor;
  }
  if (!MicroTVMServerMayRead(server, tensor.address, (size_t)size_bytes)) {
    return kMicroTVMErrorAddress;
  }
  if (size_bytes > MicroTVMServerMaxPacketBytes(server) - CODE_BYTES) {
    return kMicroTVMErrorPacketTooLarge;
  }
  MicroTVMBeginPacket(server, kRpcCopyAck, (uint32_t)size_bytes);
  MicroTVMServerPut(server, tensor.address, (size_t)size_bytes);
  MicroTVMEndPacket(server);
  return kMicroTVMOk;
}

/* Copies one tensor of the device to another one: from, to, stream. */
static int32_t ServeCopyAmongRemote(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  MicroTVMValue from;
  MicroTVMValue to;
  size_t size_bytes;
  const int32_t status = CheckArguments(request, 3);
  if (status != kMicroTVMOk) {
    return status;
  }
  MicroTVMReadValue(&request->reader, &from);
  MicroTVMReadValue(&request->reader, &to);
  if (from.type != kValueTensorView || to.type != kValueTensorView) {
    return kMicroTVMErrorArgumentType;
  }
  size_bytes = from.tensor.size_bytes;
  if (to.tensor.size_bytes != size_bytes) {
    return kMicroTVMErrorTensor;
  }
  if (!MicroTVMServerMayRead(server, from.tensor.address, size_bytes) ||
      !MicroTVMServerMayWrite(server, to.tensor.address, size_bytes)) {
    return kMicroTVMErrorAddress;
  }
  /* The addresses were checked, so that these sums do not wrap around. */
  if (from.tensor.address < to.tensor.address + size_bytes &&
      to.tensor.address < from.tensor.address + size_bytes) {
    MicroTVMTextAppend(&request->detail, "the two overlap");
    return kMicroTVMErrorTensor;
  }
  MicroTVMCopyConstant((void *)to.tensor.address,
                       MicroTVMServerAddress(server, from.tensor.address, size_bytes), size_bytes);
  MicroTVMAnswerNothing(server);
  return kMicroTVMOk;
}

/* ---- memory ---- */

static int32_t AnswerAllocation(MicroTVMRpcServer *server, MicroTVMRequest *request,
                                uint64_t size_bytes) {
  void *block = NULL;
  const int32_t status = MicroTVMServerAllocate(server, request, size_bytes, &block);
  if (status == kMicroTVMOk) {
    MicroTVMAnswerHandle(server, (uint64_t)(uintptr_t)block);
  }
  return status;
}

/* Allocates by size: device, size, alignment, type hint. Blocks are aligned as tensors are,
 * whatever is asked. */
static int32_t ServeAllocate(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  MicroTVMValue device;
  MicroTVMValue size_bytes;
  const int32_t status = CheckArguments(request, 4);
  if (status != kMicroTVMOk) {
    return status;
  }
  MicroTVMReadValue(&request->reader, &device);
  MicroTVMReadValue(&request->reader, &size_bytes);
  if (device.type != kValueDevice || size_bytes.type != kValueInt) {
    return kMicroTVMErrorArgumentType;
  }
  if (device.bits != (kDeviceTypeCpu | (uint64_t)kDeviceIdCpu << 32)) {
    return kMicroTVMErrorTensor;
  }
  return AnswerAllocation(server, request, size_bytes.bits);
}

/* Allocates by shape: tensor without data, memory scope. */
static int32_t ServeAllocateWithScope(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  MicroTVMValue tensor;
  MicroTVMValue scope;
  const int32_t status = CheckArguments(request, 2);
  if (status != kMicroTVMOk) {
    return status;
  }
  MicroTVMReadValue(&request->reader, &tensor);
  MicroTVMReadValue(&request->reader, &scope);
  if (tensor.type != kValueTensorView ||
      (scope.type != kValueNone && scope.type != kValueRawString)) {
    return kMicroTVMErrorArgumentType;
  }
  if (scope.bits > 0 && !MicroTVMTextEquals("global", scope.text, scope.bits)) {
    MicroTVMTextAppend(&request->detail, "there is no memory scope but global");
    return kMicroTVMErrorUnsupported;
  }
  return AnswerAllocation(server, request, tensor.tensor.size_bytes);
}

/* Frees what was allocated: device, address. */
static int32_t ServeFree(MicroTVMRpcServer *server, MicroTVMRequest *request) {
  MicroTVMValue device;
  MicroTVMValue address;
  int32_t status = CheckArguments(request, 2);
  if (status != kMicroTVMOk) {
    return status;
  }
  MicroTVMReadValue(&request->reader, &device);
  MicroTVMReadValue(&request->reader, &address);
  if (address.type != kValueOpaquePointer) {
    return kMicroTVMErrorArgumentType;
  }
  status = address.bits > UINTPTR_MAX ? kMicroTVMErrorAddress
                                      : MicroTVMPoolFree(&server->pool, (uintptr_t)address.bits);
  if (status == kMicroTVMOk) {
    MicroTVMAnswerNothing(server);
  }
  return status;
}

static const struct {
  uint32_t code;
  const char *operation;
  int32_t (*serve)(MicroTVMRpcServer *server, MicroTVMRequest *request);
} kRequests[] = {
    {kRpcShutdown, "shutdown", ServeShutdown},
    {kRpcInitServer, "init", ServeInit},
    {kRpcCallFunction, "call", ServeCall},
    {kRpcCopyFromRemote, "copy from device", ServeCopyFromRemote},
    {kRpcCopyToRemote, "copy to device", ServeCopyToRemote},
    {kRpcGetGlobalFunction, "get function", ServeGetGlobalFunction},
    {kRpcFreeHandle, "free handle", ServeFreeHandle},
    {kRpcSetDevice, "set device", ServeNothingToDo},
    {kRpcAllocate, "allocate", ServeAllocate},
    {kRpcFree, "free", ServeFree},
    {kRpcCopyAmongRemote, "copy on device", ServeCopyAmongRemote},
    {kRpcAllocateWithScope, "allocate", ServeAllocateWithScope},
    {kRpcStreamSync, "synchronize", ServeNothingToDo},
};

#define NUM_REQUESTS (sizeof(kRequests) / sizeof(kRequests[0]))

static int32_t ServeCode(MicroTVMRpcServer *server, MicroTVMRequest *request, uint32_t code) {
  for (uint32_t i = 0; i < NUM_REQUESTS; ++i) {
    if (kRequests[i].code == code) {
      request->operation = kRequests[i].operation;
      if (!server->initialized && code != kRpcInitServer && code != kRpcShutdown) {
        return kMicroTVMErrorNotInitialized;
      }
      return kRequests[i].serve(server, request);
    }
  }
  MicroTVMTextAppend(&request->detail, "code ");
  MicroTVMTextAppendNumber(&request->detail, (int32_t)code);
  return kMicroTVMErrorUnknownCode;
}

void MicroTVMServePacket(MicroTVMRpcServer *server, const uint8_t *packet, size_t size_bytes) {
  MicroTVMRequest request;
  uint64_t announced_bytes;
  uint32_t code;
  int32_t status;

  request.reader.data = packet;
  request.reader.left_bytes = size_bytes;
  request.reader.status = kMicroTVMOk;
  request.operation = "packet";
  MicroTVMTextClear(&request.detail);

  announced_bytes = MicroTVMReadU64(&request.reader);
  if (announced_bytes > request.reader.left_bytes) {
    MicroTVMReaderFail(&request.reader, kMicroTVMErrorPacketShort);
  } else if (announced_bytes < request.reader.left_bytes) {
    MicroTVMReaderFail(&request.reader, kMicroTVMErrorPacketTrailing);
  }
  code = MicroTVMReadU32(&request.reader);
  status = request.reader.status;
  if (status == kMicroTVMOk) {
    status = ServeCode(server, &request, code);
  }
  if (status != kMicroTVMOk) {
    MicroTVMAnswerException(server, &request, status);
  }
}

void MicroTVMRefusePacket(MicroTVMRpcServer *server, uint32_t packet_bytes) {
  MicroTVMRequest request;
  request.operation = "packet";
  MicroTVMTextClear(&request.detail);
  MicroTVMTextAppendUnsigned(&request.detail, packet_bytes);
  MicroTVMTextAppend(&request.detail, " bytes, at most ");
  MicroTVMTextAppendUnsigned(&request.detail, MicroTVMServerMaxPacketBytes(server));
  MicroTVMAnswerException(server, &request, kMicroTVMErrorPacketTooLarge);
}
