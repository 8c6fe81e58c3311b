"""What the platform asks of a board's table and of a user: keys and project options."""

from __future__ import annotations

import os

from pytest_microtvm.project import server

FVP = "FVP_Corstone_SSE-300_Ethos-U55"
"""Arm's model of a Corstone-300."""
_ALL_STEPS = ("generate_project", "build", "flash", "open_transport")


def board_keys() -> list[server.BoardKey]:
    """Zephyr's name of the board, its settings, and the compilers."""
    key = server.BoardKey
    return [
        key("board", "str", required=True, help="Zephyr's name of it, NAME/SOC/VARIANT."),
        key("old_board", "str", default="", help="Its name before Zephyr 3.7."),
        key("kconfig", "strs", default=[], help="Lines for prj.conf."),
        key("overlay", "str", default="", help="A devicetree overlay."),
        key("modules", "strs", default=[], help="Zephyr's modules that it takes."),
        key("stack_bytes", "int", default=8192, help="The main thread's stack."),
        key("toolchain.prefix", "str", default="", help="Goes before gcc, without an SDK."),
        key(
            "toolchain.flags",
            "strs",
            default=[],
            help="What the compiler finds its own library by, if not by Zephyr's.",
        ),
        key("toolchain.includes", "strs", default=[], help="Headers of a C library."),
        key("toolchain.libraries", "strs", default=[], help="Its archives."),
        key("toolchain.kconfig", "strs", default=[], help="Lines for prj.conf with them."),
        key("toolchain.install", "str", default="", help="The command that installs them."),
        key("emulator.program", "str", default="", help="In place of the board's."),
        key("emulator.machine", "str", default="", help="In place of the board's."),
        key("emulator.arguments", "strs", help="In place of the board's."),
        *server.serial_port_keys(),
    ]


def zephyr_options() -> list[server.ProjectOption]:
    """MicroTVM's own, and further ones that say which Zephyr and which compilers."""
    option = server.ProjectOption
    generate, every = ["generate_project"], list(_ALL_STEPS)
    return [
        option(
            "zephyr_base",
            optional=every,
            type="str",
            default=os.environ.get("ZEPHYR_BASE"),
            help="Zephyr's folder, in place of ZEPHYR_BASE.",
        ),
        option(
            "west_cmd",
            optional=every,
            type="str",
            default="west",
            help="The program west; its Python runs Zephyr's scripts.",
        ),
        option(
            "config_main_stack_size",
            optional=generate,
            type="int",
            help="The main thread's stack in bytes (CONFIG_MAIN_STACK_SIZE).",
        ),
        option(
            "extra_kconfig",
            optional=generate,
            type="list",
            default=[],
            help="Further lines for prj.conf, such as CONFIG_DEBUG=y.",
        ),
        option(
            "extra_files_tar",
            optional=generate,
            type="path",
            help="A tar archive to unpack into the generated project.",
        ),
        option(
            "cmsis_path",
            optional=generate,
            type="path",
            default=os.environ.get("CMSIS_PATH"),
            help="Folder that holds CMSIS, for models that include its headers.",
        ),
        option(
            "workspace_size_bytes",
            optional=generate,
            type="int",
            help="Memory for the host to allocate from, if more than the model needs.",
        ),
        option(
            "toolchain_variant",
            optional=every,
            type="str",
            help="The compilers, in place of ZEPHYR_TOOLCHAIN_VARIANT.",
        ),
        option(
            "cross_compile",
            optional=every,
            type="str",
            help="What goes before gcc, for the toolchain_variant cross-compile.",
        ),
        option(
            "use_fvp",
            optional=generate,
            type="bool",
            default=False,
            help="Run on Arm's FVP; it is only looked for, QEMU stands for the board.",
        ),
        option("arm_fvp_path", optional=generate, type="str", help=f"The program {FVP}."),
        option(
            "build_cache",
            optional=["build"],
            type="path",
            help="A folder that keeps Zephyr's objects for further models of the board.",
        ),
        server.serial_number_option(),
    ]
