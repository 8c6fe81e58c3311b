"""The two programs that build sketches: arduino-cli, and Debian's arduino-builder."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from arduino_options import CLI

from pytest_microtvm.project import server

BUILDER = "arduino-builder"
BUILDER_INSTALL = "apt-get install arduino-builder arduino-core-avr"
_HARDWARE = Path("/usr/share/arduino/hardware")
_TOOLS = ("/usr/share/arduino-builder", "/usr/bin")
_ASK_TIMEOUT_S = 60.0
_CACHE_VARIABLE = "ARDUINO_BUILD_CACHE_PATH"
_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_.]+)\}")
_MAX_DEPTH = 10
_NO_CHIP = "{build.mcu}"
"""Left in the settings of a board whose options were left out."""

Output = tuple[int | None, str]
"""A tool's exit status, and what it printed."""


@dataclass(frozen=True)
class Core:
    """What boards of one kind are built with.

    Attributes:
        name: PACKAGE:CORE, the beginning of a board's fqbn.
        hardware: A folder of the user's that holds PACKAGE/CORE; None for those of the tool.
    """

    name: str
    hardware: Path | None = None

    @classmethod
    def of(cls, fqbn: str, hardware: str) -> Core:
        """The core of a board."""
        return cls(":".join(fqbn.split(":")[:2]), Path(hardware).absolute() if hardware else None)


@dataclass(frozen=True)
class Job:
    """What to build.

    Attributes:
        sketch: The sketch's folder.
        libraries: Folders of libraries.
        fqbn: The board.
        core: Its core.
        properties: Settings of the build, by name.
        build: The folder for what is built.
        cache: A folder that keeps the compiled core; None for none.
        verbose: Show every command.
    """

    sketch: Path
    libraries: Sequence[Path]
    fqbn: str
    core: Core
    properties: Mapping[str, str]
    build: Path
    cache: Path | None = None
    verbose: bool = False


class Builder(Protocol):
    """A program that builds sketches."""

    program: str

    def version(self) -> str:
        """Its version, as it says it."""

    def core_missing(self, core: Core) -> tuple[str, str] | None:
        """None if it has a core; else where one is looked for, and the command to install it."""

    def properties(self, job: Job) -> dict[str, str]:
        """The settings of a build, without those of the job.

        Raises:
            ProjectError: It does not know the board.
        """

    def compile(self, job: Job) -> Output:
        """Build a sketch."""

    def port_of(self, fqbn: str, serial_number: str) -> str | None:
        """The port of the one board of a kind that is connected; None if that is not known."""


class ArduinoBuilder:
    """Debian's arduino-builder, which comes without an installer of cores."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program = program
        self._folder = folder

    def version(self) -> str:
        """Its version, as it says it."""
        _, output = server.run_tool([self.program, "-version"], self._folder, _ASK_TIMEOUT_S)
        return output.partition("\n")[0]

    def core_missing(self, core: Core) -> tuple[str, str] | None:
        """None if there is a core; else where one is looked for, and the command to install it."""
        hardware = core.hardware or _HARDWARE
        boards = hardware.joinpath(*core.name.split(":")) / "boards.txt"
        if boards.is_file():
            return None
        is_debians = core.name == "arduino:avr" and core.hardware is None
        return str(boards), "apt-get install arduino-core-avr" if is_debians else ""

    def properties(self, job: Job) -> dict[str, str]:
        """The settings of a build, without those of the job."""
        job.build.mkdir(parents=True, exist_ok=True)
        command = [self.program, "-dump-prefs", *self._where(job), *self._what(job)]
        status, output = server.run_tool(command, self._folder, _ASK_TIMEOUT_S)
        if status != 0:
            raise failed_to_ask(job, output)
        found = read_properties(output)
        _check_board_options(job.fqbn, found)
        return found

    def compile(self, job: Job) -> Output:
        """Build a sketch."""
        job.build.mkdir(parents=True, exist_ok=True)
        command = [self.program, "-compile", *self._where(job)]
        command += ["-warnings", "all", *(["-verbose"] if job.verbose else [])]
        if job.cache is not None:
            job.cache.mkdir(parents=True, exist_ok=True)
            command += ["-build-cache", str(job.cache)]
        for name, value in job.properties.items():
            command += ["-prefs", f"{name}={value}"]
        return server.run_tool([*command, *self._what(job)], self._folder, on_line=print)

    def port_of(self, fqbn: str, serial_number: str) -> str | None:
        """The port of the one board of a kind that is connected; it knows none."""
        return None

    def _where(self, job: Job) -> list[str]:
        hardware = [] if job.core.hardware is None else [str(job.core.hardware)]
        hardware += [str(_HARDWARE)] if _HARDWARE.is_dir() else []
        hardware.append(_TOOLS[0])
        return [
            *(word for folder in hardware for word in ("-hardware", folder)),
            *(word for folder in _TOOLS for word in ("-tools", folder)),
            *(word for folder in job.libraries for word in ("-libraries", str(folder))),
        ]

    def _what(self, job: Job) -> list[str]:
        ino = job.sketch / f"{job.sketch.name}.ino"
        return ["-fqbn", job.fqbn, "-build-path", str(job.build), str(ino)]


class ArduinoCli:
    """arduino-cli, whose JSON the versions since 0.14 write much alike."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program = program
        self._folder = folder
        self._known_cores: set[str] | None = None

    def version(self) -> str:
        """Its version, as it says it."""
        answer, output = self._ask(["version"])
        version = answer.get("VersionString") if isinstance(answer, dict) else None
        return f"{CLI} {version or output.strip()}"

    def core_missing(self, core: Core) -> tuple[str, str] | None:
        """None if it has a core; else where one is looked for, and the command to install it."""
        if core.hardware is not None:
            boards = core.hardware.joinpath(*core.name.split(":")) / "boards.txt"
            return None if boards.is_file() else (str(boards), "")
        if self._known_cores is None:  # one question for all boards
            self._known_cores = self._cores()
        if core.name in self._known_cores:
            return None
        return f"Arduino's core {core.name}", f"{self.program} core install {core.name}"

    def _cores(self) -> set[str]:
        answer, _ = self._ask(["core", "list"])
        if isinstance(answer, dict):
            answer = answer.get("platforms")
        found = answer if isinstance(answer, list) else []
        return {
            str(each.get("id") or each.get("ID"))
            for each in found
            if isinstance(each, dict) and (each.get("id") or each.get("ID"))
        }

    def properties(self, job: Job) -> dict[str, str]:
        """The settings of a build, without those of the job."""
        command = [self.program, "compile", "--show-properties", *self._what(job)]
        status, output = server.run_tool(
            command, self._folder, _ASK_TIMEOUT_S, self._variables(job)
        )
        if status != 0:
            raise failed_to_ask(job, output)
        return read_properties(output)

    def compile(self, job: Job) -> Output:
        """Build a sketch."""
        command = [self.program, "compile", "--format", "json", "--warnings", "all"]
        command += ["--build-path", str(job.build), "--output-dir", str(job.build)]
        command += ["--verbose"] if job.verbose else []
        for name, value in job.properties.items():
            command += ["--build-property", f"{name}={value}"]
        # Never the cache that all builds share: it knows a core by its board, not by its settings.
        cache = job.cache or job.build / "core_cache"
        if self.version().startswith(f"{CLI} 0."):
            command += ["--build-cache-path", str(cache)]
        command += self._what(job)
        variables = {**self._variables(job), _CACHE_VARIABLE: str(cache)}
        status, output = server.run_tool(command, self._folder, variables=variables)
        answer, rest = split_json(output)
        text = rest
        if isinstance(answer, dict):
            texts = [answer.get("compiler_out"), answer.get("compiler_err"), answer.get("error")]
            text = "\n".join([*(str(each) for each in texts if each), rest])
            if answer.get("success") is False and not status:
                status = 1
        sys.stdout.write(text)  # as the tool itself would have
        return status, text

    def port_of(self, fqbn: str, serial_number: str) -> str | None:
        """The port of the one board of a kind that is connected; None if that is not known."""
        answer, _ = self._ask(["board", "list"])
        if isinstance(answer, dict):
            answer = answer.get("detected_ports")
        wanted = ":".join(fqbn.split(":")[:3])
        ports = []
        for each in answer if isinstance(answer, list) else []:
            port = each.get("port", each)
            boards = each.get("matching_boards") or each.get("boards") or []
            names = {str(board.get("fqbn") or board.get("FQBN")) for board in boards}
            number = str(port.get("properties", {}).get("serialNumber", ""))
            if wanted in names and serial_number in ("", number):
                ports.append(str(port["address"]))
        return ports[0] if len(ports) == 1 else None

    def _what(self, job: Job) -> list[str]:
        libraries = [word for path in job.libraries for word in ("--libraries", str(path))]
        return ["--fqbn", job.fqbn, *libraries, str(job.sketch)]

    def _variables(self, job: Job) -> dict[str, str | None]:
        variables: dict[str, str | None] = {}
        if job.core.hardware is not None:  # arduino-cli looks for `hardware` in the sketchbook
            variables["ARDUINO_DIRECTORIES_USER"] = str(job.core.hardware.parent)
        return variables

    def _ask(self, words: Sequence[str]) -> tuple[Any, str]:
        command = [self.program, *words, "--format", "json"]
        _, output = server.run_tool(command, self._folder, _ASK_TIMEOUT_S)
        return split_json(output)


def find_builders(command: str | None, folder: Path) -> list[Builder]:
    """The programs that are here, the preferred one first.

    Args:
        command: The program arduino-cli.
        folder: Where they run.

    Raises:
        ProjectError: There is none, or the one that was named is not there.
    """
    builders: list[Builder] = []
    cli = shutil.which(command or CLI)
    if cli is not None:
        builders.append(ArduinoCli(cli, folder))
    elif command and command != CLI:
        raise server.ProjectError(
            f"arduino_cli_cmd: {command} is not there", cure="correct its path, or leave it out"
        )
    builder = shutil.which(BUILDER)
    if builder is not None:
        builders.append(ArduinoBuilder(builder, folder))
    if not builders:
        raise server.ProjectError(
            f"neither {CLI} nor {BUILDER} is installed",
            cure=f"install {CLI} as its documentation says, or: {BUILDER_INSTALL}",
        )
    return builders


def choose_builder(builders: Sequence[Builder], core: Core, install: str = "") -> Builder:
    """The first that has a board's core.

    Args:
        builders: The programs that are here.
        core: The core.
        install: The command that installs it, where these do not tell one.

    Raises:
        ProjectError: None has.
    """
    for builder in builders:
        if builder.core_missing(core) is None:
            return builder
    missing = builders[0].core_missing(core)
    assert missing is not None
    where = f" in {core.hardware}" if core.hardware else ""
    command = "" if core.hardware else missing[1] or install
    other = "name the folder that holds it by the option hardware"
    raise server.ProjectError(
        f"Arduino's core {core.name} is not installed{where}",
        cure=f"install it: {command}; or {other}" if command else other,
    )


def _check_board_options(fqbn: str, properties: Mapping[str, str]) -> None:
    """Refuse options of a board that it does not have, and a board that takes some and has none.

    arduino-builder passes over both.
    """
    parts = fqbn.split(":")
    name, options = ":".join(parts[:3]), parts[3].split(",") if len(parts) > 3 else []
    for option in options:
        key, _, value = option.partition("=")
        choices = {each.split(".")[2] for each in properties if each.startswith(f"menu.{key}.")}
        if value not in choices:
            has = f"its values of {key} are {', '.join(sorted(choices))}" if choices else ""
            raise server.ProjectError(
                f"Arduino does not know the board {fqbn}: {name} has no option {option}",
                cure=f"correct fqbn; {has or 'leave the option out'}",
            )
    if _NO_CHIP in properties.get("recipe.c.o.pattern", ""):
        keys = sorted({each.split(".")[1] for each in properties if each.startswith("menu.")})
        raise server.ProjectError(
            f"Arduino's board {fqbn} stands for several chips",
            cure=f"add which one to fqbn, by its option {' or '.join(keys)}",
        )


def failed_to_ask(job: Job, output: str) -> server.ProjectError:
    """The error where a tool does not tell a board's settings."""
    lines = [line.strip() for line in split_json(output)[1].splitlines() if line.strip()]
    signs = re.compile("unknown|not found|invalid|not a valid", re.IGNORECASE)
    reason = next((line for line in lines if signs.search(line)), "".join(lines[:1]))
    return server.ProjectError(
        f"Arduino does not know the board {job.fqbn}: {reason}".rstrip(": "),
        cure=f"correct fqbn; boards.txt of the core {job.core.name} lists the boards it has",
        details=output,
    )


def read_properties(text: str) -> dict[str, str]:
    """The settings that a tool lists as NAME=VALUE, with those that values name put in."""
    raw = dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)
    return {name: _expanded(value, raw) for name, value in raw.items()}


def _expanded(value: str, properties: Mapping[str, str]) -> str:
    for _ in range(_MAX_DEPTH):
        longer = _PLACEHOLDER.sub(lambda match: properties.get(match[1], match[0]), value)
        if longer == value:
            break
        value = longer
    return value


def split_json(text: str) -> tuple[Any, str]:
    """The JSON that a text holds, None if it holds none, and what else it holds."""
    decoder = json.JSONDecoder()
    for match in re.finditer(r"^[\[{]", text, re.MULTILINE):
        try:
            value, end = decoder.raw_decode(text, match.start())
        except ValueError:
            continue
        return value, text[: match.start()] + text[end:]
    return None, text
