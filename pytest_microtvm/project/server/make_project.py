"""A base for templates whose projects are C sources built with make."""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .api import Tool
from .board_keys import BoardKey
from .compiler_cache import compiler_cache
from .errors import HOW_TO_MAKE_ROOM, DoesNotFitError, ProjectError
from .options import ProjectOption
from .process import run_tool
from .project import ProjectHandler

if TYPE_CHECKING:
    from .archive import ModelMetadata

_ASK_TIMEOUT_S = 30.0
_OVERFLOW = re.compile(r"region [`']([^`']+)' overflowed by (\d+) bytes?")
# The line that says why make failed: the first match of the first pattern that has one.
_NO_ROOM = re.compile(
    r"^.*(?:No space left on device|Disk quota exceeded|File too large|Read-only file system).*$",
    re.MULTILINE,
)
_REASONS = (
    _NO_ROOM,
    re.compile(r"^\S+?:\d+:(?:\d+:)? (?:fatal )?error: .*$", re.MULTILINE | re.IGNORECASE),
    re.compile(r"^.*(?:undefined reference to|cannot find).*$", re.MULTILINE),
    re.compile(r"^\S*ld: .*$", re.MULTILINE),
)


class MakeProjectHandler(ProjectHandler):
    """A platform whose projects are built with make by a GNU C compiler.

    A template's handler derives from it, sets `platform_name` and `firmware`, and overrides
    `start_device`. The template has a `Makefile` that includes the generated `project.mk` and puts
    $(COMPILER_LAUNCHER) before each call of the compiler; it works by hand in a project.
    """

    build_files: tuple[str, ...] = ("Makefile",)
    how_to_build = "Build it with `make`."

    def board_keys(self) -> list[BoardKey]:
        """The toolchain's keys, beside those of every project."""
        return [
            *super().board_keys(),
            BoardKey("toolchain.prefix", "str", default="", help="Goes before gcc."),
            BoardKey("toolchain.flags", "strs", default=[], help="The compiler's, for the CPU."),
            BoardKey(
                "toolchain.install",
                "str",
                default="",
                help="The command that installs the toolchain.",
            ),
        ]

    def tools(self, board: Mapping[str, Any]) -> list[Tool]:
        """The compiler and make."""
        install = self.table(board)["toolchain"]["install"]
        return [Tool(name, shutil.which(name), install) for name in (self.compiler(board), "make")]

    def toolchain_id(self, board: Mapping[str, Any], files: Sequence[Tool]) -> str | None:
        """The compiler's version, and a hash of each library."""
        version = self.compiler_output(board, "--version").splitlines()[0]
        paths = [pathlib.Path(file.path) for file in files if file.path is not None]
        hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
        return "\n".join([version, *hashes])

    def compiler(self, board: Mapping[str, Any]) -> str:
        """The C compiler."""
        return f"{self.table(board)['toolchain']['prefix']}gcc"

    def compiler_output(self, board: Mapping[str, Any], *arguments: str) -> str:
        """What the compiler prints.

        Raises:
            ProjectError: It does not run.
        """
        compiler = self.compiler(board)
        status, output = run_tool([compiler, *arguments], self.directory, _ASK_TIMEOUT_S)
        if status != 0 or not output:
            raise ProjectError(
                f"the compiler {compiler} does not run",
                cure=f"try '{compiler} {shlex.join(arguments)}'",
                details=output,
            )
        return output

    def make_variables(self, board: Mapping[str, Any]) -> dict[str, str]:
        """Variables for project.mk, which the template's Makefile includes."""
        return {
            "CC": for_shell([self.compiler(board)]),
            "BOARD_FLAGS": for_shell(self.table(board)["toolchain"]["flags"]),
        }

    def make_arguments(self, board: Mapping[str, Any]) -> list[str]:
        """Further arguments of make: what is known when building only."""
        return []

    def build_settings(
        self, board: Mapping[str, Any], definitions: list[str], *, warnings_are_errors: bool
    ) -> dict[str, str]:
        """project.mk."""
        variables = {
            **self.make_variables(board),
            "DEFINITIONS": for_shell(definitions),
            "WARNINGS_AS_ERRORS": "-Werror" if warnings_are_errors else "",
        }
        return {"project.mk": _makefile(variables)}

    def project_options(self) -> list[ProjectOption]:
        """The cache of the compiler, beside what every platform takes."""
        objects = ProjectOption(
            "object_cache",
            optional=["build"],
            type="path",
            help="A folder in which ccache, where it is installed, keeps compiled objects.",
        )
        return [*super().project_options(), objects]

    def model_settings(self, model: ModelMetadata) -> dict[str, str]:
        """model.mk, for a model whose kernels call libraries that have to be linked."""
        if not model.link_flags:
            return {}
        return {"model.mk": _makefile({"MODEL_LINK": for_shell(model.link_flags)})}

    def build_firmware(self, board: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """Run make."""
        command = ["make", f"-j{os.cpu_count() or 1}", "--no-print-directory"]
        command += self.make_arguments(board)
        if options.get("verbose"):
            command.append("VERBOSE=1")
        # What the tools leave when they are killed goes with the project.
        temporary = self.directory.absolute() / "build"
        temporary.mkdir(exist_ok=True)
        variables = {"TMPDIR": str(temporary)}
        if options.get("object_cache"):
            variables |= compiler_cache(pathlib.Path(options["object_cache"]), self.directory)
        status, output = run_tool(command, self.directory, variables=variables)
        if status != 0:
            raise build_failure(board, output)


def build_failure(board: Mapping[str, Any], output: str) -> ProjectError:
    """The one line that says why make failed, with all it printed behind it."""
    for region in board.get("memory", ()):
        excess = [int(n) for name, n in _OVERFLOW.findall(output) if name == region["name"]]
        if excess:
            return DoesNotFitError(
                f"firmware too large: needs {region['bytes'] + max(excess)} bytes of "
                f"{region['name']}, {board['name']} has {region['bytes']}",
                cure="use a smaller model or a larger board",
                details=output,
            )
    matches = filter(None, (pattern.search(output) for pattern in _REASONS))
    reason = next((match[0].strip() for match in matches), "make failed")
    cure = HOW_TO_MAKE_ROOM if _NO_ROOM.search(reason) else ""
    return ProjectError(f"the firmware does not build: {reason}", cure=cure, details=output)


def for_shell(words: Iterable[str]) -> str:
    """Words for a Makefile's recipe, each as it is, whatever characters it holds."""
    return " ".join(shlex.quote(word) for word in words)


def _makefile(variables: Mapping[str, str]) -> str:
    lines = ["# Generated; included by Makefile."]
    for name, value in variables.items():
        # Make halves the backslashes before a #, and takes it as a comment where none is left.
        escaped = re.sub(r"(\\*)#", r"\1\1\\#", value).replace("$", "$$").replace("\n", " ")
        lines.append(f"{name} := {escaped}".rstrip())
    return "\n".join(lines) + "\n"
