/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing the packets of TVM's RPC protocol, byte by byte. Internal to the runtime.
 *
 * Nothing here believes what a packet says: a reader never passes its end, and remembers the first
 * thing that went wrong, so that a row of reads needs one check at its end.
 */
#ifndef MICROTVM_SRC_RPC_PACKET_H_
#define MICROTVM_SRC_RPC_PACKET_H_

#include <stddef.h>
#include <stdint.h>

#include <microtvm/framing.h>
#include <microtvm/status.h>

/* What a packet is for. */
enum {
  kRpcShutdown = 1,
  kRpcInitServer = 2,
  kRpcCallFunction = 3,
  kRpcReturn = 4,
  kRpcException = 5,
  kRpcCopyFromRemote = 6,
  kRpcCopyToRemote = 7,
  kRpcCopyAck = 8,
  kRpcGetGlobalFunction = 9,
  kRpcFreeHandle = 10,
  kRpcSetDevice = 11,
  kRpcAllocate = 13,
  kRpcFree = 14,
  kRpcStreamSync = 15,
  kRpcCopyAmongRemote = 16,
  kRpcAllocateWithScope = 17,
};

/* Type indices of values (tvm/ffi/c_api.h). */
enum {
  kValueNone = 0,
  kValueInt = 1,
  kValueBool = 2,
  kValueFloat = 3,
  kValueOpaquePointer = 4,
  kValueDataType = 5,
  kValueDevice = 6,
  kValueTensorView = 7, /* DLTensor* */
  kValueRawString = 8,
  kValueByteArray = 9,
  kValueSmallString = 11,
  kValueSmallBytes = 12,
  kValueString = 65,
  kValueBytes = 66,
  kValueFunction = 68,
  kValueTensor = 70,
  kValueModule = 73,
};

/* The CPU, as a device of DLPack: the only one here. */
enum {
  kDeviceTypeCpu = 1,
  kDeviceIdCpu = 0,
};

/* The most dimensions of a tensor in a packet. */
#define MICROTVM_MAX_DIMS 8u

typedef struct {
  const uint8_t *data;
  size_t left_bytes;
  int32_t status; /* 0, or the first error; from then on every read gives 0 or null */
} MicroTVMPacketReader;

typedef struct {
  uintptr_t address; /* of the first element, byte offset included */
  size_t size_bytes; /* by shape and type */
} MicroTVMRemoteTensor;

typedef struct {
  int32_t type;                /* kValue... */
  uint64_t bits;               /* of an int, a float or a handle; a text's size */
  const uint8_t *text;         /* of a string or byte array: its bytes, in the packet */
  MicroTVMRemoteTensor tensor; /* of a tensor */
} MicroTVMValue;

uint32_t MicroTVMReadU32(MicroTVMPacketReader *reader);
uint64_t MicroTVMReadU64(MicroTVMPacketReader *reader);

/* Gives the next bytes where they stand in the packet, or null when there are not as many. */
const uint8_t *MicroTVMReadBytes(MicroTVMPacketReader *reader, uint64_t size_bytes);

/* Reads a DLTensor; anything but a row-major tensor on the CPU is kMicroTVMErrorTensor, an address
 * that this machine does not have is kMicroTVMErrorAddress. */
void MicroTVMReadTensor(MicroTVMPacketReader *reader, MicroTVMRemoteTensor *tensor);

void MicroTVMReadValue(MicroTVMPacketReader *reader, MicroTVMValue *value);

/* Reads the last field of a packet, a sequence of values, and checks that the packet ends there.
 *
 * Returns the number of values, and leaves the reader at the first of them: all are known to be
 * readable when the reader's status is 0 afterwards. */
uint32_t MicroTVMReadArguments(MicroTVMPacketReader *reader);

/* Notes an error unless there was one before. */
void MicroTVMReaderFail(MicroTVMPacketReader *reader, int32_t status);

void MicroTVMWriteU32(MicroTVMFrameWriter *writer, uint32_t value);
void MicroTVMWriteU64(MicroTVMFrameWriter *writer, uint64_t value);

#endif /* MICROTVM_SRC_RPC_PACKET_H_ */
