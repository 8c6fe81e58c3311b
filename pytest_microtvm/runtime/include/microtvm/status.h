/* SPDX-License-Identifier: Apache-2.0 */
/* Status codes of the runtime.
 *
 * Zero is success, a positive code is news that is not an error, a negative code is an error. A
 * number is never used again for something else: hosts of other versions print them.
 */
#ifndef MICROTVM_STATUS_H_
#define MICROTVM_STATUS_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  kMicroTVMOk = 0,
  kMicroTVMShutdown = 1, /* the client said goodbye */

  /* How the firmware was put together. */
  kMicroTVMErrorInvalidArgument = -1, /* a null pointer, or parts that do not add up */
  kMicroTVMErrorBufferTooSmall = -2,  /* a buffer of the caller's is smaller than needed */
  kMicroTVMErrorMisaligned = -3,      /* a buffer of the caller's is not aligned to 16 bytes */
  kMicroTVMErrorTooManyTensors = -4,  /* more inputs and outputs than MICROTVM_MAX_TENSORS */
  kMicroTVMErrorGraphSyntax = -5,     /* the graph is no JSON of TVM's graph executor */
  kMicroTVMErrorGraph = -6,           /* the graph does not fit the model or its memory */
  kMicroTVMErrorGraphKernel = -7,     /* a kernel of the graph is missing, or is called wrongly */

  /* What the board reports. */
  kMicroTVMErrorWrite = -10, /* the write function of the link failed */
  kMicroTVMErrorTimer = -11, /* the timer is not running, or ran over */
  kMicroTVMErrorBusy = -12,  /* a frame was begun while another one was being written */
  kMicroTVMErrorFault = -13, /* the CPU raised an exception */

  /* A packet that does not hold what its code promises. */
  kMicroTVMErrorPacketShort = -20,    /* ends before its last field */
  kMicroTVMErrorPacketTrailing = -21, /* goes on after its last field */
  kMicroTVMErrorPacketTooLarge = -22, /* larger than the packet buffer */
  kMicroTVMErrorUnknownCode = -23,    /* an RPC code that this server does not serve */
  kMicroTVMErrorUnknownType = -24,    /* a value of a type that this server cannot read */
  kMicroTVMErrorVersion = -25,        /* another version of the RPC protocol */
  kMicroTVMErrorNotInitialized = -26, /* a request before the init packet */

  /* A well-formed request that cannot be served. */
  kMicroTVMErrorUnknownHandle = -30, /* no function, module or time evaluator has this handle */
  kMicroTVMErrorArgumentCount = -31,
  kMicroTVMErrorArgumentType = -32,
  kMicroTVMErrorIndex = -33,       /* no input or output has this number */
  kMicroTVMErrorAddress = -34,     /* bytes that a client may not touch */
  kMicroTVMErrorTensor = -35,      /* shape, type, device or size that do not fit together */
  kMicroTVMErrorNoExecutor = -36,  /* this firmware's model is run by the host */
  kMicroTVMErrorNoMemory = -37,    /* the memory pool is full, or there is none */
  kMicroTVMErrorPoolDamaged = -38, /* something wrote outside its part of the memory pool */
  kMicroTVMErrorTooMany = -39,     /* more time evaluators than MICROTVM_MAX_TIME_EVALUATORS */

  /* What a model's run function may return; other negative codes are passed on as they are. */
  kMicroTVMErrorModel = -40, /* a kernel failed */

  /* More well-formed requests that cannot be served. */
  kMicroTVMErrorUnsupported = -50,     /* a setting that this server does not have */
  kMicroTVMErrorUnknownConstant = -51, /* the model has no constant of this name */
  kMicroTVMErrorUnknownFunction = -52, /* there is no function of this name */
} MicroTVMStatus;

/* What a status means, as a constant string without a full stop; "unknown status" for any other
 * number. */
const char *MicroTVMStatusString(int32_t status);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* MICROTVM_STATUS_H_ */
