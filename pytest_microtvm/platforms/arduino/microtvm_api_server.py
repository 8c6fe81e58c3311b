"""The platform `arduino`: a sketch and a library with the model, built by Arduino's own tools.

A project is a sketchbook: Arduino's IDE opens and builds its sketch as well. The core that a board
belongs to, the compilers and the boot loader are Arduino's.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from arduino_build import (
    BUILD_FOLDER,
    build,
    compiler_flags,
    folder_state,
    split_properties,
    with_flags,
)
from arduino_options import CLI, HOST_DRIVEN, arduino_options, board_keys
from arduino_tools import (
    BUILDER,
    BUILDER_INSTALL,
    Builder,
    Core,
    Job,
    choose_builder,
    find_builders,
)

from pytest_microtvm.project import server

SKETCH = "microtvm_sketch"
LIBRARIES = "libraries"
SETTINGS_FILE = "arduino.json"
HELPERS = ("arduino_build.py", "arduino_options.py", "arduino_tools.py")
ENVIRONMENT = ("HOME", "ARDUINO_DIRECTORIES_DATA", "ARDUINO_DIRECTORIES_USER")
_LIBRARY_VERSION = "1.0.0"
_ASK_TIMEOUT_S = 60.0
_POINTER_BYTES = {"avr": 2}
_AVR_RUNTIME_BYTES = 2000
"""What the runtime with its texts, and Arduino's core, have of an AVR's RAM, at least."""


class Arduino(server.ProjectHandler):
    """Builds with arduino-cli or arduino-builder, runs on a real board or in an emulator."""

    platform_name = "arduino"
    firmware = f"{BUILD_FOLDER}/{SKETCH}.ino.elf"
    build_files = HELPERS
    how_to_build = (
        "Build it with `microtvm build`, or take this folder for Arduino's sketchbook and open "
        f"{SKETCH}/{SKETCH}.ino."
    )
    where_code_is = (
        f"The model's code and the runtime that serves it to the host are a library in "
        f"{LIBRARIES}/, the sketch is in {SKETCH}/."
    )
    source_folder = SKETCH

    _was_opened = False

    def __init__(self, server_file: str) -> None:
        super().__init__(server_file)
        self._given: Mapping[str, Any] = {}
        self._builders: list[Builder] | None = None

    # What a board's table holds.

    def board_keys(self) -> list[server.BoardKey]:
        """Arduino's name of the board, and its serial port."""
        return [*super().board_keys(), *board_keys()]

    def check_board(self, board: Mapping[str, Any]) -> None:
        """A board needs somewhere to run, and a name of three parts."""
        super().check_board(board)
        if not self.emulator(board) and not board.get("flash"):
            raise server.OptionError(
                f"board {board['name']} has no emulator or flash: platform arduino needs it"
            )
        check_fqbn(self.table(board)["fqbn"])
        split_properties(self.table(board)["properties"])

    def check_model(
        self, board: Mapping[str, Any], model: server.ModelMetadata, executor: str
    ) -> None:
        """Compare what is known before the build with the board's memory."""
        table = self.table(board)
        pointer_bytes = _POINTER_BYTES.get(board["cpu"]["arch"], 4)
        own_bytes = self._server_bytes(board) if self._serves_host() else table["stack_bytes"]
        ram_bytes = model.ram_bytes(executor, pointer_bytes) + own_bytes
        needs = [("ram", "RAM", ram_bytes), ("flash", "flash", model.constants_bytes)]
        for kind, label, needed in needs:
            regions = [region["bytes"] for region in board["memory"] if region["kind"] == kind]
            if regions and needed > regions[0]:
                raise server.DoesNotFitError(
                    f"model too large: needs {needed} bytes of {label}, "
                    f"{board['name']} has {regions[0]}",
                    cure="use a smaller model or a larger board",
                )

    def _server_bytes(self, board: Mapping[str, Any]) -> int:
        """What firmware that serves a host takes of the RAM beside the model, at least."""
        table = self.table(board)
        packets = 2 * table["packet_bytes"]  # one is received while another is served
        runtime = _AVR_RUNTIME_BYTES if board["cpu"]["arch"] == "avr" else 0
        return int(packets + table["stack_bytes"] + runtime)

    def check_kind(self, board: Mapping[str, Any], kind: server.ProjectKind) -> None:
        """There are projects for the host, and examples."""
        if kind.name == "mlperftiny":
            raise server.OptionError(
                "platform arduino has no projects of type mlperftiny",
                cure="choose host_driven or example_project",
            )

    # Options.

    def project_options(self) -> list[server.ProjectOption]:
        """MicroTVM's own, and further ones that say which board and which core."""
        return [
            *arduino_options(super().project_options()),
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
        super().generate_project(
            model_library_format_path, standalone_crt_dir, project_dir, options
        )
        if options.get("extra_files_tar"):
            server.unpack_extra_files(pathlib.Path(options["extra_files_tar"]), project_dir)

    def place_code(
        self, archive: pathlib.Path, runtime: pathlib.Path, project_dir: pathlib.Path
    ) -> None:
        """Make a library of the model's code and the runtime."""
        model = server.ModelMetadata.read(archive).name
        with tempfile.TemporaryDirectory(dir=project_dir) as temporary:
            server.extract_codegen(archive, pathlib.Path(temporary))
            code = pathlib.Path(temporary) / "codegen" / "host"
            machine_code = sorted(path.name for path in code.rglob("*.a"))
            if machine_code:
                raise server.ProjectError(
                    f"{model} has kernels in machine code ({', '.join(machine_code)}), which "
                    "platform arduino has no place for",
                    cure="compile the model without external kernels",
                )
            files = server.arduino_library_files(
                f"microtvm_{model}",
                _LIBRARY_VERSION,
                f"The model {model}, compiled to C by pytest-microtvm, and its runtime",
                f"tvmgen_{model}.h",
                {**files_below(runtime / "include"), **files_below(code / "include")},
                files_below(code / "src"),
                files_below(runtime / "src"),
            )
        library = project_dir / LIBRARIES / f"microtvm_{model}"
        for name, content in files.items():
            path = library / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def main_program(
        self, kind: server.ProjectKind, archive: pathlib.Path, runtime: pathlib.Path
    ) -> dict[str, str]:
        """An example's program has the functions that the sketch calls."""
        files = super().main_program(kind, archive, runtime)
        if "main.c" in files:
            model = server.ModelInterface.read(archive)
            files["main.c"] = server.main_source(model, server.SKETCH_CONSOLE)
        return files

    def board_values(self, board: Mapping[str, Any]) -> dict[str, str]:
        """The serial port."""
        table = self.table(board)
        return {
            **super().board_values(board),
            "MICROTVM_SERIAL": table["serial"],
            "MICROTVM_UART_BAUD": f"{table['uart']['baud']}ul",
            "MICROTVM_PAINTED_BYTES": f"{table['stack_bytes']}u",
        }

    def _serves_host(self) -> bool:
        """Whether the project that is being generated waits for a host."""
        return (self._given.get("project_type") or HOST_DRIVEN) == HOST_DRIVEN

    def project_files(self, board: Mapping[str, Any]) -> dict[str, str]:
        """What the board's definition adds for an emulator; it is no part of the user's sketch."""
        shim = self.table(board)["shim"].strip()
        if not shim:
            return {}
        return {f"{SKETCH}/board_shim.c": f"/* Of the board's definition; generated. */\n{shim}\n"}

    def model_settings(self, model: server.ModelMetadata) -> dict[str, str]:
        """The header by which Arduino's tools find the library."""
        text = (
            "/* The model's header, by which Arduino's tools find the library; generated. */\n"
            f"#include <tvmgen_{model.name}.h>\n"
        )
        return {f"{SKETCH}/microtvm_model.h": text}

    def build_settings(
        self, board: Mapping[str, Any], definitions: list[str], *, warnings_are_errors: bool
    ) -> dict[str, str]:
        """arduino.json."""
        table, given = self.table(board), self._given
        fqbn = given.get("fqbn") or table["fqbn"]
        check_fqbn(fqbn)
        properties = split_properties(
            [*table["properties"], *server.words_of(given.get("properties"))]
        )
        hardware = given.get("hardware") or table["hardware"]
        libraries = server.words_of(given.get("libraries"))
        for folder in (*libraries, *([hardware] if hardware else ())):
            if not pathlib.Path(folder).is_dir():
                raise server.OptionError(f"there is no folder {folder}", cure="correct its path")
        settings = {
            "arduino_cli_cmd": given.get("arduino_cli_cmd") or CLI,
            "fqbn": fqbn,
            "hardware": str(pathlib.Path(hardware).absolute()) if hardware else "",
            "properties": properties,
            "libraries": [str(pathlib.Path(folder).absolute()) for folder in libraries],
            "flags": compiler_flags(table, definitions, serves_host=self._serves_host()),
            "warnings_are_errors": warnings_are_errors,
        }
        return {SETTINGS_FILE: json.dumps(settings, indent=2) + "\n"}

    # What there is on this machine.

    def _settings(self, board: Mapping[str, Any]) -> dict[str, Any]:
        """What the project was generated with; of a template, what the board says."""
        path = self.directory / SETTINGS_FILE
        if path.is_file():
            settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        else:
            table = self.table(board)
            settings = {"fqbn": table["fqbn"], "hardware": table["hardware"]}
        if self._given.get("arduino_cli_cmd") not in (None, "", CLI):
            settings["arduino_cli_cmd"] = self._given["arduino_cli_cmd"]
        return settings

    def _core(self, board: Mapping[str, Any]) -> Core:
        settings = self._settings(board)
        return Core.of(settings["fqbn"], settings["hardware"])

    def builders(self, board: Mapping[str, Any]) -> list[Builder]:
        """The programs that could build."""
        if self._builders is None:
            command = self._settings(board).get("arduino_cli_cmd")
            self._builders = find_builders(command, self.directory)
        return self._builders

    def builder(self, board: Mapping[str, Any]) -> Builder:
        """The program that builds.

        Raises:
            ProjectError: None is here, or none has the board's core.
        """
        return choose_builder(self.builders(board), self._core(board), self._install(board))

    def tools(self, board: Mapping[str, Any]) -> list[server.Tool]:
        """What builds sketches, the board's core, and the emulator."""
        tool = server.Tool
        core = self._core(board)
        try:
            builder = self.builder(board)
        except server.ProjectError:
            tools = self._missing(board, core)
        else:
            tools = [tool(pathlib.Path(builder.program).name, builder.program)]
        emulator = self.emulator(board)
        if emulator:
            tools += [*server.emulator_tools(emulator), *self._room(board)]
        return tools

    def _room(self, board: Mapping[str, Any]) -> list[server.Tool]:
        """What a board lacks that is too small for any model: it is not one that runs here."""
        needs = self._server_bytes(board)
        sizes = [region["bytes"] for region in board["memory"] if region["kind"] == "ram"]
        if not sizes or needs <= sizes[0]:
            return []
        name = f"{needs} bytes of RAM, of which {board['name']} has {sizes[0]}"
        return [server.Tool(name, None, "", server.EMULATE)]

    def _missing(self, board: Mapping[str, Any], core: Core) -> list[server.Tool]:
        try:
            builders = self.builders(board)
        except server.ProjectError:
            return [server.Tool(f"{CLI} or {BUILDER}", None, BUILDER_INSTALL)]
        missing = builders[0].core_missing(core)
        install = missing[1] if missing else ""
        return [
            server.Tool(f"Arduino's core {core.name}", None, install or self._install(board)),
        ]

    def _install(self, board: Mapping[str, Any]) -> str:
        return str(self.table(board)["install"])

    def toolchain_id(self, board: Mapping[str, Any], files: Sequence[server.Tool]) -> str | None:
        """The tool, the state of the core, and the compiler."""
        builder = self.builder(board)
        with tempfile.TemporaryDirectory(prefix="microtvm-arduino-") as temporary:
            known = builder.properties(self._empty_job(board, pathlib.Path(temporary).resolve()))
        parts = [builder.version()]
        for name in ("runtime.platform.path", "build.core.path", "build.variant.path"):
            folder = pathlib.Path(known.get(name, ""))
            if known.get(name) and folder.is_dir():
                parts += [str(folder), folder_state(folder)]
        compiler = known.get("compiler.path", "") + known.get("compiler.c.cmd", "")
        path = shutil.which(compiler)
        if path is not None:
            _, output = server.run_tool([path, "--version"], self.directory, _ASK_TIMEOUT_S)
            parts.append(output.partition("\n")[0])
        return "\n".join(parts)

    def _empty_job(self, board: Mapping[str, Any], folder: pathlib.Path) -> Job:
        sketch = folder / "empty"
        sketch.mkdir()
        (sketch / "empty.ino").write_text("void setup() {}\nvoid loop() {}\n", encoding="utf-8")
        fqbn = self._settings(board)["fqbn"]
        return Job(sketch, (), fqbn, self._core(board), {}, folder / "build")

    def board_query(self, board: dict[str, Any], identify: bool) -> server.BoardSupport:
        """Tell what the platform can do for a board; anew each time, for cores may be edited."""
        support = super().board_query(board, identify)
        return support._replace(environment=ENVIRONMENT, lasting=False)

    def abilities(self, board: Mapping[str, Any]) -> tuple[str, ...]:
        """Emulators count instructions, QEMU serves gdb; real boards are flashed."""
        abilities: tuple[str, ...] = ()
        emulator = self.emulator(board)
        if emulator:
            abilities += (server.EMULATE, server.COUNT_INSTRUCTIONS)
            abilities += (server.DEBUG,) if emulator.get("kind") != "simavr" else ()
        if board.get("flash"):
            abilities += (server.FLASH,)
        return abilities

    def emulator(self, board: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The board's emulator, if that runs Arduino's core."""
        return board.get("emulator") if self.table(board)["emulated"] else None

    # Building.

    def build(self, options: dict[str, Any]) -> None:
        """Compile and link the project this server stands in."""
        self._given = options
        board = self.project_board()
        self.builder(board)
        super().build(options)

    def build_firmware(self, board: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """Run arduino-cli or arduino-builder."""
        settings = self._settings(board)
        project = self.directory.resolve()
        builder = self.builder(board)
        job = Job(
            sketch=project / SKETCH,
            libraries=[project / LIBRARIES, *map(pathlib.Path, settings["libraries"])],
            fqbn=settings["fqbn"],
            core=self._core(board),
            properties={},
            build=project / BUILD_FOLDER,
            verbose=bool(options.get("verbose")),
        )
        known = builder.properties(job)
        properties = with_flags(
            settings["properties"], known, self.table(board)["flag_properties"], settings["flags"]
        )
        job = dataclasses.replace(job, properties=properties)
        strict = bool(settings["warnings_are_errors"])
        if not options.get("build_cache"):
            build(builder, job, board, warnings_are_errors=strict)
            return
        # Tools keep the core by the board's name alone, not by the settings it was compiled with.
        parts = [builder.program, job.fqbn, str(job.core.hardware), json.dumps(properties)]
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
        with server.shared_folder(pathlib.Path(options["build_cache"]), key) as folder:
            job = dataclasses.replace(job, cache=folder)
            build(builder, job, board, warnings_are_errors=strict)

    # Running.

    def flash(self, options: dict[str, Any]) -> None:
        """Write the firmware to a real board; an emulator is started with it."""
        self._given = options
        super().flash(options)
        board = self.project_board()
        if self._is_real(board, options):
            self._real_board(board, options).flash()

    def open_transport(self, options: dict[str, Any]) -> server.TransportTimeouts:
        """Start the emulator or open the board; one that gdb holds has all the time there is."""
        timeouts = super().open_transport(options)
        if options.get("gdbserver_port"):
            return timeouts._replace(session_start_timeout_sec=0.0)
        return timeouts

    def start_device(
        self, board: Mapping[str, Any], options: Mapping[str, Any]
    ) -> server.DeviceTransport:
        """Open the port of a real board, or start the emulator."""
        if self._is_real(board, options):
            reset = self._was_opened or bool(options.get("reset", True))
            self._was_opened = True
            return self._real_board(board, options).open(reset=reset)
        return server.start_emulator(board["emulator"], self.built_firmware(), options)

    def _is_real(self, board: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
        return server.is_real({**board, "emulator": self.emulator(board)}, options)

    def _real_board(self, board: Mapping[str, Any], options: Mapping[str, Any]) -> server.RealBoard:
        table, settings = self.table(board), self._settings(board)
        chosen = {**board, self.platform_name: {**table, "fqbn": settings["fqbn"]}}
        program = settings.get("arduino_cli_cmd") or CLI
        return server.RealBoard(
            chosen,
            self._with_port(board, settings["fqbn"], options),
            self.directory,
            self.built_firmware(),
            baud=table["uart"]["baud"],
            reset_line=table["uart"]["reset"],
            program="" if program == CLI else program,
        )

    def _with_port(
        self, board: Mapping[str, Any], fqbn: str, options: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Options that name the port, where they give a serial number or USB ids do not tell it."""
        if options.get("port") or options.get("usb"):
            return options
        number = server.chosen_serial_number(options.get("serial_number"))
        usb_ids = board["flash"]["usb_ids"]
        if number and len(usb_ids) == 1:
            return {**options, "usb": f"{usb_ids[0]}:{number}"}
        if usb_ids and not number:
            return options
        for builder in self.builders(board):
            port = builder.port_of(fqbn, number)
            if port is not None:
                return {**options, "port": port}
        return options


def check_fqbn(fqbn: str) -> None:
    """Make sure that a name has the parts that Arduino's tools ask for.

    Raises:
        OptionError: It has not.
    """
    parts = fqbn.split(":")
    if not 3 <= len(parts) <= 4 or not all(parts):
        raise server.OptionError(
            f"fqbn: {fqbn!r} is no name of a board",
            cure="write PACKAGE:CORE:BOARD, or PACKAGE:CORE:BOARD:OPTIONS",
        )


def files_below(folder: pathlib.Path) -> dict[str, bytes]:
    """The files of a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


if __name__ == "__main__":
    server.main(Arduino(__file__))
