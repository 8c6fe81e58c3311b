"""The platform `direct`: one call of the compiler, no make, and its own name for the firmware."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_microtvm.project import server


class Direct(server.ProjectHandler):
    """Builds with one call of `cc`."""

    platform_name = "direct"
    firmware = "out/application"
    how_to_build = "It is built by one call of cc."

    def board_keys(self) -> list[server.BoardKey]:
        """How hard the compiler tries, beside what every project has."""
        levels = ("-O1", "-O2")
        key = server.BoardKey("optimize", "str", default="-O2", choices=levels)
        return [*super().board_keys(), key]

    def tools(self, board: Mapping[str, Any]) -> list[server.Tool]:
        """The compiler."""
        return [server.Tool("cc", shutil.which("cc"), "apt-get install gcc libc6-dev")]

    def toolchain_id(self, board: Mapping[str, Any], files: Sequence[server.Tool]) -> str | None:
        """The compiler's version."""
        return server.run_tool(["cc", "--version"], self.directory)[1]

    def build_settings(
        self, board: Mapping[str, Any], definitions: list[str], *, warnings_are_errors: bool
    ) -> dict[str, str]:
        """The compiler's arguments, one a line."""
        flags = [self.table(board)["optimize"], "-ffp-contract=off", *definitions]
        return {"flags": "\n".join(flags) + "\n"}

    def build_firmware(self, board: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """Compile and link all sources at once."""
        (self.directory / "out").mkdir(exist_ok=True)
        flags = (self.directory / "flags").read_text().split()
        folders = ("codegen/host/src", "runtime/src", "src")
        sources = [path for name in folders for path in (self.directory / name).glob("*.c")]
        includes = [f"-I{name}" for name in ("runtime/include", "codegen/host/include", "src")]
        command = ["cc", *flags, *includes, *map(str, sorted(sources)), "-lm", "-o", self.firmware]
        status, output = server.run_tool(command, self.directory)
        if status != 0:
            raise server.ProjectError("the firmware does not build", details=output)

    def start_device(
        self, board: Mapping[str, Any], options: Mapping[str, Any]
    ) -> server.DeviceTransport:
        """Run the firmware."""
        return server.ChildTransport([str(self.built_firmware())])


if __name__ == "__main__":
    server.main(Direct(__file__))
