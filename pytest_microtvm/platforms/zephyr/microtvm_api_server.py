"""The platform `zephyr`: firmware built by the user's own Zephyr.

A project is an application of Zephyr's, which `west build` builds as well. Zephyr's revision and
modules, the compilers and the board's settings decide what comes of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from zephyr_build import (
    BUILD_FOLDER,
    Build,
    check_modules,
    cmake_settings,
    localized_build,
    python_of,
)
from zephyr_options import FVP, board_keys, zephyr_options
from zephyr_sample import PROJECT_TYPE_ALIASES, sample_text
from zephyr_toolchain import SDK, TOOLCHAIN_FILE, Toolchain, choose_toolchain, sdk_folder
from zephyr_tree import ZephyrTree, unknown_board

from pytest_microtvm.project import server

SETTINGS_FILE = "zephyr.json"
HELPERS = (
    "zephyr_build.py",
    "zephyr_options.py",
    "zephyr_sample.py",
    "zephyr_toolchain.py",
    "zephyr_tree.py",
)
ENVIRONMENT = (
    *("ZEPHYR_BASE", "ZEPHYR_TOOLCHAIN_VARIANT", "ZEPHYR_SDK_INSTALL_DIR", "CROSS_COMPILE"),
    *("ZEPHYR_MODULES", "ZEPHYR_EXTRA_MODULES", "EXTRA_ZEPHYR_MODULES", "BOARD_ROOT"),
    *("GNUARMEMB_TOOLCHAIN_PATH", "HOME"),
)
_WARNINGS = ("-Wall", "-Wextra", "-Wno-unused-parameter")  # Zephyr's headers have some
_CMSIS_HEADERS = (
    *("CMSIS/Core/Include", "CMSIS/DSP/Include", "CMSIS/NN/Include", "CMSIS-NN/Include"),
    *("CMSIS-DSP/Include", "Include"),
)
_ASK_TIMEOUT_S = 30.0
_INSTALL = {
    "cmake": "apt-get install cmake",
    "ninja": "apt-get install ninja-build",
    "dtc": "apt-get install device-tree-compiler",
    "west": "pip install west",
    "git": "apt-get install git",
}


class Zephyr(server.ProjectHandler):
    """Builds with CMake and ninja, runs on a real board or in an emulator."""

    platform_name = "zephyr"
    firmware = "build/zephyr/zephyr.elf"
    build_files = ("CMakeLists.txt", "Kconfig", *HELPERS)
    how_to_build = "Build it with `west build -b BOARD`, or with `microtvm build`."

    _was_opened = False

    def __init__(self, server_file: str) -> None:
        super().__init__(server_file)
        self._given: Mapping[str, Any] = {}

    # What a board's table holds.

    def board_keys(self) -> list[server.BoardKey]:
        """Zephyr's name of the board, its settings, and the compilers."""
        return [*super().board_keys(), *board_keys()]

    def check_board(self, board: Mapping[str, Any]) -> None:
        """A board needs somewhere to run."""
        super().check_board(board)
        if not board.get("emulator") and not board.get("flash") and not _is_host(board):
            raise server.OptionError(
                f"board {board['name']} has no emulator or flash: platform zephyr needs it"
            )

    # Options.

    def project_options(self) -> list[server.ProjectOption]:
        """MicroTVM's own, and further ones that say which Zephyr and which compilers."""
        return [
            *super().project_options(),
            *zephyr_options(),
            *server.emulator_options(),
            *server.real_board_options(),
        ]

    # Generating.

    def generate_project(
        self,
        model_library_format_path: pathlib.Path,
        standalone_crt_dir: pathlib.Path,
        project_dir: pathlib.Path,
        options: dict[str, Any],
    ) -> None:
        """Create the project."""
        self._given = options
        self._check_fvp(options)
        super().generate_project(
            model_library_format_path, standalone_crt_dir, project_dir, options
        )
        shutil.copytree(
            standalone_crt_dir / "zephyr",
            project_dir / "runtime" / "zephyr",
            ignore=shutil.ignore_patterns("sample"),
        )
        board = self.read_board(project_dir / "board.json")
        with contextlib.suppress(server.ProjectError):  # which the build tells of
            text = self.toolchain(board).cmake_text()
            (project_dir / TOOLCHAIN_FILE).write_text(text, encoding="utf-8")
        if options.get("extra_files_tar"):
            server.unpack_extra_files(pathlib.Path(options["extra_files_tar"]), project_dir)

    def _check_fvp(self, options: Mapping[str, Any]) -> None:
        if not options.get("use_fvp"):
            return
        program = str(options.get("arm_fvp_path") or FVP)
        if shutil.which(program) is None:
            raise server.ProjectError(
                f"{program} is not installed",
                cure="install Arm's Corstone-300 FVP and name it by arm_fvp_path, or leave use_fvp "
                "out",
            )
        raise server.ProjectError(
            f"{program} is here, but firmware is not run on it",
            cure="leave use_fvp out: QEMU emulates the board",
        )

    def project_files(self, board: Mapping[str, Any]) -> dict[str, str]:
        """The settings for Kconfig and the devicetree, and what was chosen for the build."""
        files = {
            "prj.conf": self._settings_text(board),
            SETTINGS_FILE: json.dumps(self._chosen(), indent=2, sort_keys=True) + "\n",
        }
        files["sample.yaml"] = sample_text(self._project_type(), self._zephyr_name(board))
        if self.table(board)["overlay"]:
            files["app.overlay"] = self.table(board)["overlay"].rstrip() + "\n"
        return files

    def _project_type(self) -> str:
        given = str(self._given.get("project_type") or "host_driven")
        return PROJECT_TYPE_ALIASES.get(given, given)

    def _zephyr_name(self, board: Mapping[str, Any]) -> str:
        """What Zephyr calls the board; without one at hand, what the latest does."""
        table = self.table(board)
        try:
            return self.tree().board_name(table["board"], table["old_board"])
        except server.ProjectError:
            return str(table["board"])

    def _chosen(self) -> dict[str, Any]:
        """What the options said about Zephyr and the compilers; the rest is the environment's."""
        names = ("zephyr_base", "west_cmd", "toolchain_variant", "cross_compile")
        return {name: self._given[name] for name in names if self._given.get(name)}

    def _settings_text(self, board: Mapping[str, Any]) -> str:
        table, cpu = self.table(board), board["cpu"]
        stack_bytes = self._given.get("config_main_stack_size") or table["stack_bytes"]
        lines = [f"CONFIG_MAIN_STACK_SIZE={stack_bytes}"]
        if cpu["arch"] == "arm" and cpu.get("fpu"):
            lines.append("CONFIG_FPU=y")
        lines += table["kconfig"]
        lines += server.words_of(self._given.get("extra_kconfig"))
        text = (self.directory / "prj.conf").read_text(encoding="utf-8")
        return text + "\n# Of the board and the options.\n" + "\n".join(lines) + "\n"

    def build_settings(
        self, board: Mapping[str, Any], definitions: list[str], *, warnings_are_errors: bool
    ) -> dict[str, str]:
        """project.cmake."""
        variables = {
            "MICROTVM_DEFINITIONS": [text.removeprefix("-D") for text in definitions],
            "MICROTVM_WARNINGS": [*_WARNINGS, *(("-Werror",) if warnings_are_errors else ())],
        }
        if self._given.get("cmsis_path"):
            variables["MICROTVM_INCLUDES"] = cmsis_folders(pathlib.Path(self._given["cmsis_path"]))
        return {"project.cmake": cmake_settings(variables)}

    def executor_values(self, model: server.ModelMetadata, executor: str) -> dict[str, str]:
        """The pool is as large as the user wants, and as the model needs."""
        values = super().executor_values(model, executor)
        wanted = int(self._given.get("workspace_size_bytes") or 0)
        if executor == "host_driven" and wanted:
            if wanted < model.pool_bytes:
                raise server.OptionError(
                    f"workspace_size_bytes is {wanted}, but {model.name} needs {model.pool_bytes}",
                    cure="raise it, or leave it out",
                )
            values["MICROTVM_POOL_BYTES"] = f"{wanted}u"
        return values

    # What there is on this machine.

    def _setting(self, name: str) -> Any:
        """An option as it was given to this step, or else to `generate_project`."""
        if self._given.get(name):
            return self._given[name]
        path = self.directory / SETTINGS_FILE
        recorded = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return recorded.get(name)

    def tree(self) -> ZephyrTree:
        """The Zephyr that is meant.

        Raises:
            ProjectError: There is none.
        """
        return ZephyrTree.open(self._setting("zephyr_base") or os.environ.get("ZEPHYR_BASE"))

    def toolchain(self, board: Mapping[str, Any]) -> Toolchain:
        """The compilers that are meant.

        Raises:
            ProjectError: There are none.
        """
        options = {name: self._setting(name) for name in ("toolchain_variant", "cross_compile")}
        return choose_toolchain(board, options, self.tree().version)

    def tools(self, board: Mapping[str, Any]) -> list[server.Tool]:
        """Zephyr, what builds it, the compiler, and the emulator."""
        tool = server.Tool
        west = str(self._setting("west_cmd") or "west")
        tools = [
            tool(name, shutil.which(name), _INSTALL[name]) for name in ("cmake", "ninja", "dtc")
        ]
        tools.append(tool(west, shutil.which(west), _INSTALL["west"]))
        try:
            tree, toolchain = self.tree(), self.toolchain(board)
        except server.ProjectError as error:
            tools.append(tool("Zephyr", None, str(error.data["cure"])))
        else:
            version = str(tree.base / "VERSION")
            tools.append(tool(version, version))
            tools += self._compiler_tools(board, toolchain)
        emulator = self.emulator(board)
        if emulator:
            program, install = emulator["program"], emulator.get("install", "")
            tools.append(tool(program, shutil.which(program), install, server.EMULATE))
        return tools

    def _compiler_tools(self, board: Mapping[str, Any], toolchain: Toolchain) -> list[server.Tool]:
        install = str(self.table(board)["toolchain"]["install"])
        tools = [
            server.Tool(path, path if pathlib.Path(path).exists() else None, install)
            for path in (*toolchain.includes, *toolchain.libraries)
        ]
        if toolchain.prefix or toolchain.compiler:
            name = f"{toolchain.prefix}gcc"
            tools.append(server.Tool(toolchain.compiler or name, toolchain.compiler, install))
        if toolchain.variant == SDK:
            sdk = sdk_folder()
            path = None if sdk is None else str(sdk / "sdk_version")
            tools.append(server.Tool(path or "the Zephyr SDK", path))
        return tools

    def toolchain_id(self, board: Mapping[str, Any], files: Sequence[server.Tool]) -> str | None:
        """Zephyr's revision and changes, those of its modules, and the compilers."""
        tree, toolchain = self.tree(), self.toolchain(board)
        parts = [tree.state(), toolchain.variant, *toolchain.settings]
        if toolchain.compiler is not None:
            _, output = server.run_tool(
                [toolchain.compiler, "--version"], tree.base, _ASK_TIMEOUT_S
            )
            parts.append(output.partition("\n")[0])
        sdk = sdk_folder() if toolchain.variant == SDK else None
        if sdk is not None:
            parts += [str(sdk), (sdk / "sdk_version").read_text(encoding="utf-8").strip()]
        for library in toolchain.libraries:
            parts.append(hashlib.sha256(pathlib.Path(library).read_bytes()).hexdigest())
        return "\n".join(parts)

    def board_query(self, board: dict[str, Any], identify: bool) -> server.BoardSupport:
        """Tell what the platform can do for a board; anew each time, for the tree may be edited."""
        support = super().board_query(board, identify)
        return support._replace(environment=ENVIRONMENT, lasting=False)

    def abilities(self, board: Mapping[str, Any]) -> tuple[str, ...]:
        """Emulators count instructions and serve gdb; real boards are flashed."""
        abilities: tuple[str, ...] = ()
        if self.emulator(board):
            abilities += (server.EMULATE, server.COUNT_INSTRUCTIONS, server.DEBUG)
        elif _is_host(board):
            abilities += (server.EMULATE,)
        if board.get("flash"):
            abilities += (server.FLASH,)
        return abilities

    def emulator(self, board: Mapping[str, Any]) -> dict[str, Any]:
        """The board's emulator, as Zephyr's own board wants it; empty if it has none."""
        if not board.get("emulator"):
            return {}
        own = {name: value for name, value in self.table(board)["emulator"].items() if value}
        return {**board["emulator"], **own}

    # Building.

    def built_files(self) -> server.BuiltFiles | None:
        """What a build of this project makes."""
        if super().built_files() is None:
            return None
        name = self._firmware_name(self.project_board())
        return server.BuiltFiles(name, name)

    def built_firmware(self) -> pathlib.Path:
        """The built firmware."""
        path = self.directory / self._firmware_name(self.project_board())
        if not path.is_file():
            raise server.ProjectError(f"{path.name} is not there", cure="build the project first")
        return path

    def _firmware_name(self, board: Mapping[str, Any]) -> str:
        return "build/zephyr/zephyr.exe" if _is_host(board) else self.firmware

    def build(self, options: dict[str, Any]) -> None:
        """Compile and link the project this server stands in."""
        self._given = options
        board = self.project_board()
        check_modules(self.tree(), board)
        self.toolchain(board)
        super().build(options)

    def build_firmware(self, board: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """Run CMake and ninja."""
        tree, toolchain, table = self.tree(), self.toolchain(board), self.table(board)
        name = tree.board_name(table["board"], table["old_board"])
        if name.partition("/")[0] not in tree.boards() and not os.environ.get("BOARD_ROOT"):
            raise unknown_board(tree, name)
        write_if_changed(self.directory / TOOLCHAIN_FILE, toolchain.cmake_text())
        west = shutil.which(str(self._setting("west_cmd") or "west"))
        shared = options.get("build_cache")
        Build(
            project=self.directory,
            tree=tree,
            board=name,
            python=python_of(pathlib.Path(west)) if west else "",
            shared=pathlib.Path(shared) if shared else None,
            verbose=bool(options.get("verbose")),
        ).run()

    # Running.

    def flash(self, options: dict[str, Any]) -> None:
        """Write the firmware to a real board; an emulator is started with it."""
        self._given = options
        super().flash(options)
        board = self.project_board()
        if server.is_real(board, options):
            with tempfile.TemporaryDirectory(prefix="microtvm-flash-") as folder:
                build = localized_build(self.directory / BUILD_FOLDER, pathlib.Path(folder))
                self._real_board(board, options, build / "zephyr" / "zephyr.elf").flash()

    def open_transport(self, options: dict[str, Any]) -> server.TransportTimeouts:
        """Start the emulator or open the board; one that gdb holds has all the time there is."""
        self._given = options
        timeouts = super().open_transport(options)
        if options.get("gdbserver_port"):
            return timeouts._replace(session_start_timeout_sec=0.0)
        return timeouts

    def start_device(
        self, board: Mapping[str, Any], options: Mapping[str, Any]
    ) -> server.DeviceTransport:
        """Open the port of a real board, or start the emulator."""
        if _is_host(board):
            return server.ChildTransport([str(self.built_firmware())])
        if server.is_real(board, options):
            reset = self._was_opened or bool(options.get("reset", True))
            self._was_opened = True
            return self._real_board(board, options, self.built_firmware()).open(reset=reset)
        return server.start_emulator(self.emulator(board), self.built_firmware(), options)

    def _real_board(
        self, board: Mapping[str, Any], options: Mapping[str, Any], firmware: pathlib.Path
    ) -> server.RealBoard:
        table = self.table(board)
        return server.RealBoard(
            board,
            with_serial_number(options, board["flash"]["usb_ids"]),
            self.directory,
            firmware,
            baud=table["uart"]["baud"],
            reset_line=table["uart"]["reset"],
            tool_prefix=table["toolchain"]["prefix"],
            tool_install=table["toolchain"]["install"],
        )


def _is_host(board: Mapping[str, Any]) -> bool:
    """Whether the firmware is a program of this computer."""
    return bool(board["cpu"]["arch"] == "host")


def write_if_changed(path: pathlib.Path, text: str) -> None:
    """Write a file, unless it holds just that: what depends on it is not built again then."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def cmsis_folders(root: pathlib.Path) -> list[str]:
    """The folders of CMSIS that hold headers, as its packages have had them.

    Raises:
        OptionError: There is no such folder, or none with headers in it.
    """
    found = [root / name for name in _CMSIS_HEADERS if (root / name).is_dir()]
    if not found:
        raise server.OptionError(
            f"cmsis_path: {root} holds no CMSIS: there is none of {', '.join(_CMSIS_HEADERS)}",
            cure="name the folder that CMSIS or CMSIS-NN was unpacked in, or leave it out",
        )
    return [str(folder.absolute()) for folder in found]


def with_serial_number(options: Mapping[str, Any], usb_ids: Sequence[str]) -> Mapping[str, Any]:
    """Options in which a serial number that was given is that of the probe, and of the port."""
    number = server.chosen_serial_number(options.get("serial_number"))
    if not number:
        return options
    found = {**options, "probe": options.get("probe") or number}
    if len(usb_ids) == 1 and not (options.get("port") or options.get("usb")):
        found["usb"] = f"{usb_ids[0]}:{number}"
    return found


if __name__ == "__main__":
    server.main(Zephyr(__file__))
