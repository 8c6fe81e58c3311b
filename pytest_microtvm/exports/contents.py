"""What every export is made of: the files of an archive, by what they are for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from pytest_microtvm.errors import ModelError
from pytest_microtvm.exports.stack import StackUse
from pytest_microtvm.mlf.archive import FOREIGN_CURE, opened
from pytest_microtvm.mlf.library import ModelLibrary
from pytest_microtvm.project.server.archive import ModelMetadata
from pytest_microtvm.project.server.interface import ModelInterface

Files = dict[str, bytes]
"""Contents by path below the export's folder."""

NONE, AOT, GRAPH, RPC = "none", "aot", "graph", "rpc"
_CODE = "codegen/host/"
_RUNTIME = "runtime/"
_NEEDS_RUNTIME = re.compile(rb'^#include [<"]microtvm/', re.MULTILINE)
_EXECUTOR = ("executor", "status", "context", "functions")
_RUNTIME_SOURCES: Mapping[str, tuple[str, ...] | None] = {
    NONE: (),
    AOT: (*_EXECUTOR, "aot_executor"),
    GRAPH: (*_EXECUTOR, "graph_executor", "graph_reader", "json"),
    RPC: None,  # all of them
}

FLAGS = ("-ffp-contract=off", "-fno-math-errno")
"""What the kernels are compiled with: each float operation rounds by itself, as in every test."""


@dataclass(frozen=True)
class Contents:
    """A model to be exported.

    Args:
        library: Its archive.
        interface: Its C interface.
        runtime: "none", "aot", "graph" or "rpc".
        version: The version that the export has.
        headers: By their path as programs include them.
        sources: The model's, by file name.
        runtime_sources: Of the runtime, by file name; they include headers of their own folder.
        license: The text of the license.
        libraries: Machine code that external kernels bring, by file name.
        stack: What the kernels take of the stack, where that was measured.
    """

    library: ModelLibrary
    interface: ModelInterface
    runtime: str
    version: str
    headers: Files
    sources: Files
    runtime_sources: Files
    license: bytes
    libraries: tuple[str, ...] = ()
    stack: StackUse | None = None

    @property
    def name(self) -> str:
        """What the exported library is called."""
        return self.interface.prefix

    @cached_property
    def module(self) -> Mapping[str, Any]:
        """The module's part of the metadata."""
        module: Mapping[str, Any] = self.library.metadata["modules"][self.library.name]
        return module

    @property
    def link_flags(self) -> tuple[str, ...]:
        """The libraries that a program needs, as a linker takes them."""
        return ("-lm", *ModelMetadata.read(self.library.path).link_flags)

    @property
    def description(self) -> str:
        """One line about the library."""
        origin = self.module.get("model", {}).get("file") or "a Relax module"
        return f"The model {self.library.name} of {origin}, compiled to C by pytest-microtvm"

    def code(self, headers: str = "include", sources: str = "src") -> Files:
        """The library's own files.

        Args:
            headers: The folder that headers are in.
            sources: The folder that sources are in; those of the runtime in `runtime` below it.
        """
        return {
            **{f"{headers}/{path}": content for path, content in self.headers.items()},
            **{f"{sources}/{path}": content for path, content in self.sources.items()},
            **{f"{sources}/runtime/{path}": each for path, each in self.runtime_sources.items()},
        }

    def compiled(self, sources: str = "src") -> list[str]:
        """The paths of all C sources of `code`."""
        return sorted(path for path in self.code(sources=sources) if path.endswith(".c"))


def read_contents(
    library: ModelLibrary, runtime: str, version: str, stack: StackUse | None
) -> Contents:
    """Read what is exported from an archive.

    Raises:
        ModelError: It has no code, or was made by something that does not tell its C interface.
    """
    with opened(library.path) as archive:
        files = {name: archive.read(member) for name, member in archive.members.items()}
        try:
            interface = ModelInterface.of(library.metadata)
        except Exception as error:  # metadata that lack something, in whatever way
            raise archive.error(
                f"does not tell its C interface ({type(error).__name__}: {error})", FOREIGN_CURE
            ) from error
    headers = _below(files, f"{_CODE}include/")
    sources = _below(files, f"{_CODE}src/")
    if "LICENSE" not in files:
        raise ModelError(f"the archive {library.path} has no LICENSE", cure=FOREIGN_CURE)
    runtime_sources: Files = {}
    if runtime == NONE:
        sources = {k: v for k, v in sources.items() if not _NEEDS_RUNTIME.search(v)}
        headers = {k: v for k, v in headers.items() if not _NEEDS_RUNTIME.search(v)}
    else:
        headers.update(_below(files, f"{_RUNTIME}include/"))
        wanted = _RUNTIME_SOURCES[runtime]
        runtime_sources = {
            path: content
            for path, content in _below(files, f"{_RUNTIME}src/").items()
            if wanted is None or path.endswith(".h") or PurePosixPath(path).stem in wanted
        }
    if stack is not None:
        headers[f"{interface.prefix}_stack.h"] = stack.header(interface.macro_prefix).encode()
    return Contents(
        library,
        interface,
        runtime,
        version,
        headers,
        sources,
        runtime_sources,
        files["LICENSE"],
        tuple(name for name in files if name.startswith(_CODE) and name.endswith(".a")),
        stack,
    )


def _below(files: Mapping[str, bytes], prefix: str) -> Files:
    return {
        name.removeprefix(prefix): content
        for name, content in sorted(files.items())
        if name.startswith(prefix)
    }
