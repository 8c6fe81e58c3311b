/* SPDX-License-Identifier: Apache-2.0 */
/* The report of a fault, as the last message of a firmware. */
#include <microtvm/fault.h>

#include "session.h"
#include "text.h"

#define FAULT_VERSION 1u
#define BITS_PER_DIGIT 4u
#define VALUE_DIGITS (2u * (uint32_t)sizeof(uintptr_t))

/* Whoever handles an exception has no context to find these by. */
static MicroTVMFrameWriter *fault_writer;
static bool fault_reporting;

void MicroTVMFaultSetWriter(MicroTVMFrameWriter *writer) {
  fault_writer = writer;
  fault_reporting = false;
}

static void PutText(MicroTVMFrameWriter *writer, const char *text) {
  MicroTVMFrameWriterPut(writer, text, MicroTVMTextLength(text));
}

static void PutRegister(MicroTVMFrameWriter *writer, const MicroTVMRegister *reg) {
  char digits[VALUE_DIGITS];
  for (uint32_t i = 0; i < VALUE_DIGITS; ++i) {
    const uintptr_t digit = (reg->value >> (BITS_PER_DIGIT * (VALUE_DIGITS - 1u - i))) & 0xFu;
    digits[i] = (char)(digit < 10u ? '0' + digit : 'a' + (digit - 10u));
  }
  PutText(writer, reg->name);
  PutText(writer, "=0x");
  MicroTVMFrameWriterPut(writer, digits, sizeof(digits));
  PutText(writer, "\n");
}

static void Report(MicroTVMFrameWriter *writer, const char *kind, const MicroTVMRegister *registers,
                   size_t num_registers) {
  const uint8_t version = FAULT_VERSION;
  size_t body_bytes = sizeof(version) + sizeof("kind=\n") - 1u + MicroTVMTextLength(kind);
  for (size_t i = 0; i < num_registers; ++i) {
    body_bytes += MicroTVMTextLength(registers[i].name) + sizeof("=0x\n") - 1u + VALUE_DIGITS;
  }
  MicroTVMFrameWriterAbandon(writer);
  (void)MicroTVMBeginMessage(writer, 0, kMessageFault, (uint32_t)body_bytes);
  MicroTVMFrameWriterPut(writer, &version, sizeof(version));
  PutText(writer, "kind=");
  PutText(writer, kind);
  PutText(writer, "\n");
  for (size_t i = 0; i < num_registers; ++i) {
    PutRegister(writer, &registers[i]);
  }
  /* A report that cannot be sent is lost: there is nobody left to tell. */
  (void)MicroTVMFrameWriterEnd(writer);
}

void MicroTVMFault(const char *kind, const MicroTVMRegister *registers, size_t num_registers) {
  if (fault_writer != NULL && !fault_reporting) {
    fault_reporting = true;
    Report(fault_writer, kind, registers, num_registers);
  }
  TVMPlatformAbort(kMicroTVMErrorFault);
}
