/* SPDX-License-Identifier: Apache-2.0 */
/* What the status codes mean, as texts. */
#include <microtvm/status.h>

const char *MicroTVMStatusString(int32_t status) {
  switch (status) {
    case kMicroTVMOk:
      return "success";
    case kMicroTVMShutdown:
      return "session shut down";
    case kMicroTVMErrorInvalidArgument:
      return "invalid argument";
    case kMicroTVMErrorBufferTooSmall:
      return "buffer too small";
    case kMicroTVMErrorMisaligned:
      return "buffer not aligned to 16 bytes";
    case kMicroTVMErrorTooManyTensors:
      return "more inputs and outputs than MICROTVM_MAX_TENSORS";
    case kMicroTVMErrorGraphSyntax:
      return "graph is not well-formed";
    case kMicroTVMErrorGraph:
      return "graph does not fit the model";
    case kMicroTVMErrorGraphKernel:
      return "graph does not fit its kernels";
    case kMicroTVMErrorWrite:
      return "writing to the link failed";
    case kMicroTVMErrorTimer:
      return "timer failed";
    case kMicroTVMErrorBusy:
      return "link busy with another frame";
    case kMicroTVMErrorFault:
      return "fault";
    case kMicroTVMErrorPacketShort:
      return "packet ends too early";
    case kMicroTVMErrorPacketTrailing:
      return "bytes after the end of the packet";
    case kMicroTVMErrorPacketTooLarge:
      return "packet too large";
    case kMicroTVMErrorUnknownCode:
      return "unsupported request";
    case kMicroTVMErrorUnknownType:
      return "unsupported type of a value";
    case kMicroTVMErrorVersion:
      return "protocol version mismatch";
    case kMicroTVMErrorNotInitialized:
      return "request before init";
    case kMicroTVMErrorUnknownHandle:
      return "unknown handle";
    case kMicroTVMErrorArgumentCount:
      return "wrong number of arguments";
    case kMicroTVMErrorArgumentType:
      return "wrong type of an argument";
    case kMicroTVMErrorIndex:
      return "index out of range";
    case kMicroTVMErrorAddress:
      return "address outside the memory of this session";
    case kMicroTVMErrorTensor:
      return "inconsistent tensor";
    case kMicroTVMErrorNoExecutor:
      return "this firmware has no executor; the host calls its kernels";
    case kMicroTVMErrorNoMemory:
      return "not enough memory in the pool";
    case kMicroTVMErrorPoolDamaged:
      return "memory pool overwritten";
    case kMicroTVMErrorTooMany:
      return "too many time evaluators";
    case kMicroTVMErrorModel:
      return "a kernel failed";
    case kMicroTVMErrorUnsupported:
      return "unsupported setting";
    case kMicroTVMErrorUnknownConstant:
      return "no constant of this name";
    case kMicroTVMErrorUnknownFunction:
      return "no function of this name";
  }
  return "unknown status";
}
