/* SPDX-License-Identifier: Apache-2.0 */
/* What the status codes mean, as texts. */
#include <microtvm/status.h>

#if defined(__AVR__)

#include <avr/pgmspace.h>

/* Texts would take room in RAM, where there is little: they are in flash, and the one that was
 * asked for last is copied. */
#define TEXT(string) Copied(PSTR(string))
#define MAX_TEXT_BYTES 64u

static const char *Copied(const char *in_flash) {
  static char text[MAX_TEXT_BYTES];
  size_t i = 0;
  do {
    text[i] = (char)pgm_read_byte(in_flash + i);
  } while (text[i] != '\0' && ++i < MAX_TEXT_BYTES - 1u);
  return text;
}

#else
#define TEXT(string) (string)
#endif

const char *MicroTVMStatusString(int32_t status) {
  switch (status) {
    case kMicroTVMOk:
      return TEXT("success");
    case kMicroTVMShutdown:
      return TEXT("session shut down");
    case kMicroTVMErrorInvalidArgument:
      return TEXT("invalid argument");
    case kMicroTVMErrorBufferTooSmall:
      return TEXT("buffer too small");
    case kMicroTVMErrorMisaligned:
      return TEXT("buffer not aligned to 16 bytes");
    case kMicroTVMErrorTooManyTensors:
      return TEXT("more inputs and outputs than MICROTVM_MAX_TENSORS");
    case kMicroTVMErrorGraphSyntax:
      return TEXT("graph is not well-formed");
    case kMicroTVMErrorGraph:
      return TEXT("graph does not fit the model");
    case kMicroTVMErrorGraphKernel:
      return TEXT("graph does not fit its kernels");
    case kMicroTVMErrorWrite:
      return TEXT("writing to the link failed");
    case kMicroTVMErrorTimer:
      return TEXT("timer failed");
    case kMicroTVMErrorBusy:
      return TEXT("link busy with another frame");
    case kMicroTVMErrorFault:
      return TEXT("fault");
    case kMicroTVMErrorPacketShort:
      return TEXT("packet ends too early");
    case kMicroTVMErrorPacketTrailing:
      return TEXT("bytes after the end of the packet");
    case kMicroTVMErrorPacketTooLarge:
      return TEXT("packet too large");
    case kMicroTVMErrorUnknownCode:
      return TEXT("unsupported request");
    case kMicroTVMErrorUnknownType:
      return TEXT("unsupported type of a value");
    case kMicroTVMErrorVersion:
      return TEXT("protocol version mismatch");
    case kMicroTVMErrorNotInitialized:
      return TEXT("request before init");
    case kMicroTVMErrorUnknownHandle:
      return TEXT("unknown handle");
    case kMicroTVMErrorArgumentCount:
      return TEXT("wrong number of arguments");
    case kMicroTVMErrorArgumentType:
      return TEXT("wrong type of an argument");
    case kMicroTVMErrorIndex:
      return TEXT("index out of range");
    case kMicroTVMErrorAddress:
      return TEXT("address outside the memory of this session");
    case kMicroTVMErrorTensor:
      return TEXT("inconsistent tensor");
    case kMicroTVMErrorNoExecutor:
      return TEXT("this firmware has no executor; the host calls its kernels");
    case kMicroTVMErrorNoMemory:
      return TEXT("not enough memory in the pool");
    case kMicroTVMErrorPoolDamaged:
      return TEXT("memory pool overwritten");
    case kMicroTVMErrorTooMany:
      return TEXT("too many time evaluators");
    case kMicroTVMErrorModel:
      return TEXT("a kernel failed");
    case kMicroTVMErrorUnsupported:
      return TEXT("unsupported setting");
    case kMicroTVMErrorUnknownConstant:
      return TEXT("no constant of this name");
    case kMicroTVMErrorUnknownFunction:
      return TEXT("no function of this name");
  }
  return TEXT("unknown status");
}
