"""The Project API server: what a template's `microtvm_api_server.py` imports.

A template written for Apache TVM runs after changing one import, from
`from tvm.micro.project_api import server` to `from pytest_microtvm.project import server`.
Only the standard library is imported, so the server starts fast and runs wherever Python does.

`api` holds the published interface, `json_rpc` serves it, `options` and `board_keys` say what a
platform asks for, `process` runs tools and emulators that never outlive the server, `project`,
`make_project` and `microcontroller` are bases for templates, `archive` what such a template reads
from an MLF archive, `emulator` QEMU or simavr in a board's place, `real_board` boards on a desk:
their serial ports and how they are flashed. A server is started for every device that is opened, so
what only generating or real boards need is loaded when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .api import (
    BUILD,
    COUNT_INSTRUCTIONS,
    DEBUG,
    EMULATE,
    FLASH,
    BoardSupport,
    BuiltFiles,
    ProjectAPIHandler,
    ServerInfo,
    Tool,
    TransportTimeouts,
    read_with_timeout,
    write_with_timeout,
)
from .board_keys import BoardKey, check_table
from .emulator import emulator_options, emulator_tools, start_emulator
from .errors import (
    DoesNotFitError,
    ErrorCode,
    IoTimeoutError,
    JSONRPCError,
    OptionError,
    ProjectError,
    ServerError,
    TransportClosedError,
    UnsupportedTVMVersionError,
)
from .json_rpc import PROTOCOL_VERSION, ProjectAPIServer, main
from .make_project import MakeProjectHandler, for_shell
from .microcontroller import MicrocontrollerHandler
from .options import ProjectOption, default_project_options, words_of
from .process import ChildTransport, DeviceTransport, find_tool, run_tool
from .project import MODEL_FILE, ProjectHandler, install_cure
from .project_types import ProjectKind
from .real_board import (
    RealBoard,
    is_real,
    real_board_options,
    serial_number_option,
    serial_port_keys,
)

if TYPE_CHECKING:
    from .archive import ModelMetadata, extract_codegen, unpack_extra_files
    from .arduino_library import arduino_library_files
    from .interface import ModelInterface
    from .serial_port import chosen_serial_number
    from .shared_builds import shared_folder
    from .standalone import SKETCH_CONSOLE, main_source

_LATER = {
    "ModelInterface": "interface",
    "ModelMetadata": "archive",
    "SKETCH_CONSOLE": "standalone",
    "arduino_library_files": "arduino_library",
    "chosen_serial_number": "serial_port",
    "extract_codegen": "archive",
    "main_source": "standalone",
    "shared_folder": "shared_builds",
    "unpack_extra_files": "archive",
}
"""What only generating and building a project or a real board need, and the module that has it."""

__all__ = [
    "BUILD",
    "COUNT_INSTRUCTIONS",
    "DEBUG",
    "EMULATE",
    "FLASH",
    "MODEL_FILE",
    "PROTOCOL_VERSION",
    "SKETCH_CONSOLE",
    "BoardKey",
    "BoardSupport",
    "BuiltFiles",
    "ChildTransport",
    "DeviceTransport",
    "DoesNotFitError",
    "ErrorCode",
    "IoTimeoutError",
    "JSONRPCError",
    "MakeProjectHandler",
    "MicrocontrollerHandler",
    "ModelInterface",
    "ModelMetadata",
    "OptionError",
    "ProjectAPIHandler",
    "ProjectAPIServer",
    "ProjectError",
    "ProjectHandler",
    "ProjectKind",
    "ProjectOption",
    "RealBoard",
    "ServerError",
    "ServerInfo",
    "Tool",
    "TransportClosedError",
    "TransportTimeouts",
    "UnsupportedTVMVersionError",
    "arduino_library_files",
    "check_table",
    "chosen_serial_number",
    "default_project_options",
    "emulator_options",
    "emulator_tools",
    "extract_codegen",
    "find_tool",
    "for_shell",
    "install_cure",
    "is_real",
    "main",
    "main_source",
    "read_with_timeout",
    "real_board_options",
    "run_tool",
    "serial_number_option",
    "serial_port_keys",
    "shared_folder",
    "start_emulator",
    "unpack_extra_files",
    "words_of",
    "write_with_timeout",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
