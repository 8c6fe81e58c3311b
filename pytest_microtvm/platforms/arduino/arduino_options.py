"""What the platform asks of a board's table and of a user: keys and project options."""

from __future__ import annotations

from pytest_microtvm.project import server

CLI = "arduino-cli"
FLAG_PROPERTIES = ("compiler.c.extra_flags", "compiler.cpp.extra_flags")
"""The properties by which most cores take a user's flags for the compiler."""
_ALL_STEPS = ("generate_project", "build", "flash", "open_transport")
HOST_DRIVEN = "host_driven"
_TYPES = (HOST_DRIVEN, "standalone", "aot_standalone_demo", "example_project")


def board_keys() -> list[server.BoardKey]:
    """Arduino's name of the board, how its core is set up, and its serial port."""
    key = server.BoardKey
    return [
        key("fqbn", "str", required=True, help="Arduino's name of it, PACKAGE:CORE:BOARD."),
        key("hardware", "str", default="", help="A folder that holds PACKAGE/CORE."),
        key("properties", "strs", default=[], help="Settings of the build, NAME=VALUE."),
        key("flags", "strs", default=[], help="For the compiler, also of the core."),
        key(
            "flag_properties",
            "strs",
            default=list(FLAG_PROPERTIES),
            help="The properties that flags for the compiler are added to.",
        ),
        key("serial", "str", default="Serial", help="The object that is the link."),
        key("stack_bytes", "int", default=2048, help="What variables must leave for the stack."),
        key("install", "str", default="", help="The command that installs the core."),
        key("emulated", "bool", default=True, help="Whether the board's emulator runs the core."),
        key("shim", "str", default="", help="C of what the core asks for and an emulator lacks."),
        *server.serial_port_keys(),
    ]


def arduino_options(own: list[server.ProjectOption]) -> list[server.ProjectOption]:
    """All options.

    Args:
        own: Those of every project.
    """
    option = server.ProjectOption
    generate, every = ["generate_project"], list(_ALL_STEPS)
    left_out = ("benchmark", "benchmark_mode")  # there is no mlperftiny
    kept = [each for each in own if each.name not in left_out]
    return [
        *(
            each.replace(
                {
                    "choices": _TYPES,
                    "help": "host_driven: the firmware waits for the host's calls; "
                    "example_project, also standalone and aot_standalone_demo: it runs the model "
                    "once and prints the outputs.",
                }
            )
            if each.name == "project_type"
            else each
            for each in kept
        ),
        option(
            "arduino_cli_cmd",
            optional=every,
            type="str",
            default=CLI,
            help="The program arduino-cli. Without it, arduino-builder builds.",
        ),
        option("fqbn", optional=generate, type="str", help="In place of the board's."),
        option(
            "properties",
            optional=generate,
            type="list",
            default=[],
            help="Further settings of the build, such as build.f_cpu=8000000L.",
        ),
        option(
            "libraries",
            optional=generate,
            type="list",
            default=[],
            help="Further folders of libraries, for what extra_files_tar brings.",
        ),
        option(
            "hardware",
            optional=generate,
            type="path",
            help="A folder that holds PACKAGE/CORE, in place of the board's.",
        ),
        option(
            "extra_files_tar",
            optional=generate,
            type="path",
            help="A tar archive to unpack into the generated project.",
        ),
        option(
            "build_cache",
            optional=["build"],
            type="path",
            help="A folder that keeps the core's objects for further models of the board.",
        ),
        server.serial_number_option(),
    ]
