"""The main programs of exports: they run the model, or serve it."""

from __future__ import annotations

from typing import NamedTuple

from pytest_microtvm.exports.contents import AOT, NONE, RPC, Contents, Files
from pytest_microtvm.project.server.archive import ModelMetadata
from pytest_microtvm.project.server.project import ProjectHandler
from pytest_microtvm.project.server.standalone import (
    PRINTF,
    Printing,
    fill_function,
    fill_loop,
    main_source,
    print_loop,
)

_PACKET_BYTES = 4096
_MAX_TENSORS = 32  # MICROTVM_MAX_TENSORS of the runtime


class Port(NamedTuple):
    """How the RPC server reaches an ecosystem's serial port and timer.

    Attributes:
        includes: Lines at the top.
        start: Statements at the start of the program.
        read: Statements that give `count` bytes, at least one, in `received`.
        write: A statement that writes `data` of `size_bytes`.
        microseconds: An expression of a clock that runs on.
        signature: The function that the program is.
        after: Lines after it.
    """

    includes: tuple[str, ...]
    start: tuple[str, ...]
    read: tuple[str, ...]
    write: str
    microseconds: str
    signature: str = "int main(void)"
    after: tuple[str, ...] = ()


POSIX = Port(
    includes=("#include <time.h>", "#include <unistd.h>"),
    start=(),
    read=(
        "const ssize_t count = read(STDIN_FILENO, received, sizeof(received));",
        "if (count <= 0) {",
        "  return 0; /* the host has closed the link */",
        "}",
    ),
    write="""\
while (size_bytes > 0) {
    const ssize_t count = write(STDOUT_FILENO, data, size_bytes);
    if (count < 0) {
      return kMicroTVMErrorWrite;
    }
    data += count;
    size_bytes -= (size_t)count;
  }""",
    microseconds="Microseconds()",
)
_POSIX_CLOCK = """\
static uint64_t Microseconds(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}
"""


def example(
    contents: Contents, printing: Printing = PRINTF, port: Port = POSIX, suffix: str = ".c"
) -> Files:
    """The files of a main program.

    Args:
        contents: What is exported.
        printing: What it prints by.
        port: How the RPC server is reached.
        suffix: Of the program's file, `main` but for that.
    """
    if contents.runtime == NONE:
        return {f"main{suffix}": main_source(contents.interface, printing).encode()}
    files = {"microtvm_project.h": _project_header(contents).encode()}
    text = _rpc_main(port) if contents.runtime == RPC else _executor_main(contents, printing)
    return {**files, f"main{suffix}": text.encode()}


def _project_header(contents: Contents) -> str:
    """What the example is made of, as microtvm/firmware_model.h takes it."""
    metadata = ModelMetadata.read(contents.library.path)
    executor = AOT if contents.runtime == RPC else contents.runtime
    macros = {
        "MICROTVM_MODEL": f"{contents.name}_model",
        "MICROTVM_WORKSPACE_BYTES": f"{metadata.workspace_bytes}u",
        "MICROTVM_IO_BYTES": f"{metadata.io_bytes}u",
        **ProjectHandler(__file__).executor_values(metadata, executor),
    }
    if contents.runtime == RPC:
        macros |= {"MICROTVM_PACKET_BYTES": f"{_PACKET_BYTES}u", "MICROTVM_BUILD_ID": '""'}
    if metadata.tensors > _MAX_TENSORS:
        macros["MICROTVM_MAX_TENSORS"] = str(metadata.tensors)
    lines = (f"#define {name} {value}" for name, value in macros.items())
    return "\n".join(
        [
            "/* SPDX-License-Identifier: Apache-2.0 */",
            "/* What the program is made of; see microtvm/firmware_model.h. */",
            "#ifndef MICROTVM_PROJECT_H_",
            "#define MICROTVM_PROJECT_H_",
            "",
            *lines,
            "",
            "#endif /* MICROTVM_PROJECT_H_ */",
            "",
        ]
    )


def _executor_main(contents: Contents, printing: Printing) -> str:
    interface = contents.interface
    fill: list[str] = []
    for index, tensor in enumerate(interface.inputs):
        count = f"{tensor.size_macro} / sizeof({tensor.c_type})"
        name = f"input_{tensor.c_name}"
        fill += [
            f"  {tensor.c_type} *{name} =",
            f"      ({tensor.c_type} *)MicroTVMExecutorInput(MICROTVM_SERVED_EXECUTOR, {index});",
            *fill_loop(tensor, name, count),
        ]
    shown: list[str] = []
    for index, tensor in enumerate(interface.outputs):
        count = f"{tensor.size_macro} / sizeof({tensor.c_type})"
        name = f"output_{tensor.c_name}"
        shown += [
            f"  const {tensor.c_type} *{name} =",
            f"      (const {tensor.c_type} *)MicroTVMExecutorOutput(MICROTVM_SERVED_EXECUTOR, "
            f"{index});",
            *print_loop(tensor, name, count, printing),
        ]
    return "\n".join(
        [
            "/* SPDX-License-Identifier: Apache-2.0 */",
            "/* Runs a model once by an executor, and prints its outputs: a start of a program of",
            " * your own. */",
            "#include <stddef.h>",
            "#include <stdint.h>",
            "",
            *printing.includes,
            '#include "microtvm_project.h"',
            "",
            "#include <microtvm/firmware_model.h>",
            f"#include <{interface.prefix}.h>",
            "",
            *fill_function(fill),
            "",
            "static void PrintOutputs(void) {",
            *shown,
            "}",
            "",
            f"{printing.signature} {{",
            "  int32_t status;",
            "",
            *(f"  {line}" for line in printing.start),
            "  status = MicroTVMFirmwareInitExecutor();",
            "  if (status == kMicroTVMOk) {",
            "    FillInputs();",
            "    status = MicroTVMExecutorRun(MICROTVM_SERVED_EXECUTOR);",
            "  }",
            "  if (status != kMicroTVMOk) {",
            *(f"    {line}" for line in printing.failed),
            "  }",
            "  PrintOutputs();",
            *(f"  {line}" for line in printing.end),
            "}",
            *printing.after,
            "",
        ]
    )


def _rpc_main(port: Port) -> str:
    clock = [_POSIX_CLOCK] if port is POSIX else []
    return "\n".join(
        [
            "/* SPDX-License-Identifier: Apache-2.0 */",
            "/* Serves a model to pytest-microtvm over the serial port. */",
            *(["#define _POSIX_C_SOURCE 200809L", ""] if port is POSIX else []),
            "#include <stddef.h>",
            "#include <stdint.h>",
            "#include <stdio.h>",
            "#include <stdlib.h>",
            "",
            *port.includes,
            "",
            '#include "microtvm_project.h"',
            "",
            "#include <microtvm/firmware.h>",
            "#include <microtvm/platform.h>",
            "",
            *clock,
            _RPC_PLATFORM.replace("{microseconds}", port.microseconds),
            "static int32_t WriteToLink(void *context, const uint8_t *data, size_t size_bytes) {",
            "  (void)context;",
            f"  {port.write}",
            "  return kMicroTVMOk;",
            "}",
            "",
            f"{port.signature} {{",
            *(f"  {line}" for line in port.start),
            "  if (MicroTVMFirmwareInit(WriteToLink, NULL) < 0) {",
            "    TVMPlatformAbort(kMicroTVMErrorInvalidArgument);",
            "  }",
            "  for (;;) {",
            "    static uint8_t received[64];",
            *(f"    {line}" for line in port.read),
            "    if (MicroTVMFirmwareLoop(received, (size_t)count) < 0) {",
            "      TVMPlatformAbort(kMicroTVMErrorWrite);",
            "    }",
            "  }",
            "}",
            *port.after,
            "",
        ]
    )


_RPC_PLATFORM = """\
static uint64_t started_us;

void TVMPlatformAbort(tvm_crt_error_t code) {
  (void)code;
  abort();
}

size_t TVMPlatformFormatMessage(char *buffer, size_t size_bytes, const char *format,
                                va_list arguments) {
  const int length = vsnprintf(buffer, size_bytes, format, arguments);
  return length < 0 ? 0 : (size_t)length < size_bytes ? (size_t)length : size_bytes - 1;
}

tvm_crt_error_t TVMPlatformTimerStart(void) {
  started_us = {microseconds};
  return kTvmErrorNoError;
}

tvm_crt_error_t TVMPlatformTimerStop(double *elapsed_seconds) {
  *elapsed_seconds = (double)({microseconds} - started_us) * 1e-6;
  return kTvmErrorNoError;
}
"""
