"""Firmware onto a real board: run a tool, see to it that it did what was asked, say why it did not.

What differs from tool to tool is a `FlashMethod` of `flash_methods`: its command line, the words by
which it says that all is well, and those by which it says what is wrong.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import OptionError, ProjectError
from .process import find_tool, run_tool

RESET_TIMEOUT_S = 10.0

_MADE = "flash"  # the folder beside the firmware for what is made from it
_OBJCOPY_FORMATS = {"hex": "ihex", "bin": "binary"}
_ERROR_LINE = re.compile(r"^.*\b(?:error|fatal|failed|cannot|couldn't)\b.*$", re.I | re.M)


@dataclass(frozen=True)
class FlashJob:
    """What is to be written, and where to.

    Attributes:
        board: The board's definition.
        project: The project's folder.
        firmware: Its ELF file.
        probe: Which probe; empty for the only one.
        port: The board's serial port, for a method that goes by it; empty if it has none.
        tool_prefix: Goes before the names of the toolchain's programs.
        tool_install: The command that installs these.
        program: In place of the method's; empty for that.
    """

    board: Mapping[str, Any]
    project: Path
    firmware: Path
    probe: str = ""
    port: str = ""
    tool_prefix: str = ""
    tool_install: str = ""
    program: str = ""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The table `flash` of the board's definition."""
        settings: Mapping[str, Any] = self.board["flash"]
        return settings

    @property
    def start_address(self) -> int:
        """Where the board's flash begins."""
        regions = [region for region in self.board["memory"] if region["kind"] == "flash"]
        if not regions:
            raise OptionError(f"board {self.board['name']} has no memory of kind flash")
        return int(regions[0]["origin"])

    def image(self, kind: str) -> Path:
        """The firmware as a file of this kind: "elf", or one that the build gave or made from it.

        One that is made from it is made for each job: what another made earlier may be of another
        build by now, or damaged.

        Raises:
            ProjectError: It cannot be had.
        """
        if kind == "elf":
            return self.firmware
        built = self.firmware.with_suffix(f".{kind}")
        if built.exists() and built.stat().st_mtime >= self.firmware.stat().st_mtime:
            return built
        if kind not in _OBJCOPY_FORMATS:
            raise ProjectError(
                f"the build gave no {built.name}, which board {self.board['name']} is flashed with",
                cure="choose another flash.format in the board's definition",
            )
        objcopy = find_tool(f"{self.tool_prefix}objcopy", self.tool_install)
        # Several processes may want the same file of a cached project.
        path = self.firmware.parent / _MADE / built.name
        path.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
            copy = Path(temporary) / path.name
            command = [objcopy, "-O", _OBJCOPY_FORMATS[kind], str(self.firmware), str(copy)]
            status, output = run_tool(command, self.project)
            if status != 0:
                raise ProjectError(f"{path.name} cannot be made", details=output)
            copy.replace(path)
        return path


@dataclass(frozen=True)
class Sign:
    """What a tool prints when something certain is wrong: a pattern, and what to tell the user.

    `message` and `cure` may hold `{probe}`, `{port}` and `{board}`.
    """

    pattern: str
    message: str
    cure: str = ""


@dataclass(frozen=True)
class FlashMethod:
    """A way to flash by a program.

    Attributes:
        programs: Names of the program, the preferred one first; `{prefix}` is the toolchain's.
        install: The command that installs it.
        flash: The arguments that write, verify and reset.
        proof: A pattern that its output has if all went well; empty if the exit status says it all.
        statuses: Exit statuses of success.
        signs: What failures look like; the first that is found is told.
        reset: The arguments that only reset the board; None if the program cannot do that.
    """

    programs: tuple[str, ...]
    install: str
    flash: Callable[[FlashJob], list[str]]
    proof: str = ""
    statuses: tuple[int, ...] = (0,)
    signs: tuple[Sign, ...] = ()
    reset: Callable[[FlashJob], list[str]] | None = None

    def find_program(self, job: FlashJob) -> str:
        """The path of the program.

        Raises:
            ProjectError: It is not installed.
        """
        named = [job.program] if job.program else self.programs
        names = [name.replace("{prefix}", job.tool_prefix) for name in named]
        for name in names:
            path = shutil.which(name)
            if path is not None:
                return path
        cure = f"install it: {self.install}" if self.install else ""
        raise ProjectError(f"{' or '.join(names)} is not installed", cure=cure)


def run_method(method: FlashMethod, job: FlashJob) -> None:
    """Flash a board.

    Raises:
        ProjectError: The tool is missing, failed, or took too long; with its output.
    """
    program = method.find_program(job)
    timeout_s = float(job.settings["timeout_s"])
    _run(method, job, [program, *method.flash(job)], timeout_s, method.proof)


def reset_by_method(method: FlashMethod, job: FlashJob) -> bool:
    """Reset a board by the tool that flashes it.

    Returns:
        Whether the tool can.

    Raises:
        ProjectError: As of `run_method`.
    """
    if method.reset is None:
        return False
    command = [method.find_program(job), *method.reset(job)]
    _run(method, job, command, RESET_TIMEOUT_S, "")
    return True


def reset_by_command(command: Sequence[str], project: Path) -> None:
    """Reset a board by the user's own command.

    Raises:
        ProjectError: It is not there, or failed.
    """
    program = find_tool(command[0], "correct the reset command of the lab")
    status, output = run_tool([program, *command[1:]], project, RESET_TIMEOUT_S)
    if status != 0:
        how = "took too long" if status is None else f"ended with exit status {status}"
        raise ProjectError(f"the reset command {command[0]} {how}", details=output)


def _run(
    method: FlashMethod, job: FlashJob, command: list[str], timeout_s: float, proof: str
) -> None:
    name = os.path.basename(command[0])  # noqa: PTH119 - a name, not a path to touch
    start = time.monotonic()
    status, output = run_tool(command, job.project, timeout_s)
    if status in method.statuses and (not proof or re.search(proof, output)):
        return
    words = {
        "probe": job.probe or "the only one",
        "port": job.port or "no port",
        "board": job.board["name"],
    }
    for sign in method.signs:
        if re.search(sign.pattern, output, re.MULTILINE):
            message, cure = sign.message.format(**words), sign.cure.format(**words)
            raise ProjectError(message, cure=cure, details=output)
    if status is None:
        raise ProjectError(
            f"{name} did not end within {time.monotonic() - start:.0f} s",
            cure="reset the board and its probe, or raise flash.timeout_s of the board",
            details=output,
        )
    reason = _ERROR_LINE.search(output)
    what = f"ended with exit status {status}" if status else "did not confirm what it wrote"
    raise ProjectError(f"{name} {what}{f': {reason[0].strip()}' if reason else ''}", details=output)
