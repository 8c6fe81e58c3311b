/* SPDX-License-Identifier: Apache-2.0 */
/* A firmware that does nothing but hold the runtime, to see how large that is.
 *
 * The port's functions and the C library's are declared and not defined: the linker leaves the
 * symbols open, and nothing of theirs is counted.
 */
#include <microtvm/fault.h>
#include <microtvm/log.h>

#define MICROTVM_MODEL probe_model
#define MICROTVM_GRAPH probe_graph
#define MICROTVM_IO_BYTES 16u
#define MICROTVM_WORKSPACE_BYTES 16u
#define MICROTVM_GRAPH_NODES 0u
#define MICROTVM_GRAPH_ENTRIES 0u
#define MICROTVM_GRAPH_STEPS 0u
#define MICROTVM_GRAPH_ARGUMENTS 0u
#define MICROTVM_POOL_BYTES 0u
#define MICROTVM_PACKET_BYTES 512u
#define MICROTVM_BUILD_ID ""

#include <microtvm/firmware.h>

extern int32_t ProbeWrite(void *context, const uint8_t *data, size_t size_bytes);
extern size_t ProbeRead(uint8_t *data, size_t size_bytes);

void ProbeMain(void);
void ProbeFault(uintptr_t pc);

void ProbeMain(void) {
  uint8_t data[16];
  (void)MicroTVMFirmwareInit(ProbeWrite, NULL);
  TVMLogf("started");
  while (MicroTVMFirmwareLoop(data, ProbeRead(data, sizeof(data))) == kMicroTVMOk) {
  }
}

void ProbeFault(uintptr_t pc) {
  const MicroTVMRegister registers[] = {{"pc", pc}};
  MicroTVMFault("", registers, 1);
}
