"""What a template reads from an MLF archive: facts about the model, and its generated code."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import shutil
import tarfile
from collections.abc import Mapping
from typing import Any

from .errors import ProjectError, no_room

_LINK_FLAG = re.compile(r"-l[A-Za-z0-9_.+-]+\Z")
_C_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_TENSOR_ALIGNMENT_BYTES = 16  # MICROTVM_ALIGNMENT_BYTES of the runtime
_POOL_BLOCK_BYTES = 16  # MICROTVM_POOL_BLOCK_BYTES of the runtime
_SPARE_POOL_BLOCKS = 8
_MAX_GRAPH_BYTES = 16 * 1024 * 1024
# Nothing that make or a shell reads otherwise, or that looks like an option.
_MEMBER_NAME = re.compile(r"(?!-|.*/-)[A-Za-z0-9_.+/-]+\Z")
_GRAPH_NAME = re.compile(r"(?:\./)?executor-config/graph/[^/]+\.graph\Z")
_METADATA_NAMES = ("metadata.json", "./metadata.json")
_MAX_METADATA_BYTES = 16 * 1024 * 1024
_MAX_SOURCE_BYTES = 1024 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class GraphCounts:
    """How large a model's graph is.

    `steps` counts the nodes that do something, `arguments` the tensors that these take and give,
    `widest_step` those of the one with most.
    """

    nodes: int
    entries: int
    steps: int
    arguments: int
    widest_step: int

    @classmethod
    def of(cls, graph: Mapping[str, Any]) -> GraphCounts:
        """Count what is in the JSON of TVM's graph executor."""
        steps = [
            len(node["inputs"]) + int(node["attrs"]["num_outputs"])
            for node in graph["nodes"]
            if node["op"] != "null"
        ]
        return cls(
            nodes=len(graph["nodes"]),
            entries=int(graph["node_row_ptr"][-1]),
            steps=len(steps),
            arguments=sum(steps),
            widest_step=max(steps, default=0),
        )


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """What a project needs to know of the model in an MLF archive; sizes in bytes.

    `tensors` counts inputs and outputs, and each state as one of both; `io_bytes` holds them all,
    each rounded up to the alignment of tensors. `scratch_bytes` is the most that one kernel needs
    besides its tensors. `graph` is None for an archive that has no graph. `link_flags` name the
    libraries that its kernels call, as `-lname`.
    """

    name: str
    workspace_bytes: int
    constants_bytes: int
    tensors: int
    io_bytes: int
    scratch_bytes: int = 0
    graph: GraphCounts | None = None
    link_flags: tuple[str, ...] = ()

    @property
    def pool_bytes(self) -> int:
        """Memory for the executor `host_driven` to allocate from.

        The arena in one block, each input and output, and what a kernel needs besides.
        """
        blocks = self.tensors + 2 + _SPARE_POOL_BLOCKS
        sizes = (self.workspace_bytes, self.io_bytes, self.scratch_bytes)
        return sum(map(_align, sizes)) + blocks * _POOL_BLOCK_BYTES

    def ram_bytes(self, executor: str, pointer_bytes: int) -> int:
        """The memory that a model takes with an executor on a CPU of this size.

        It is that of microtvm/firmware_model.h, without the few hundred bytes that every model
        needs.
        """
        if executor == "host_driven":
            return self.pool_bytes
        if executor == "aot" or self.graph is None:
            return self.workspace_bytes + self.io_bytes
        step_bytes = {2: 8, 4: 12, 8: 24}[pointer_bytes]  # MicroTVMGraphStep
        entry_bytes = {2: 6, 4: 8, 8: 16}[pointer_bytes]  # MicroTVMGraphEntry
        start_bytes = self.graph.entries * entry_bytes + (self.graph.nodes + 1) * 4
        table_bytes = self.graph.steps * step_bytes + self.graph.arguments * pointer_bytes
        return max(self.workspace_bytes, start_bytes) + self.io_bytes + table_bytes

    @classmethod
    def read(cls, archive: pathlib.Path) -> ModelMetadata:
        """Read metadata.json of an archive.

        Raises:
            ProjectError: It is no MLF archive, or not one with one model for the AoT executor.
        """
        try:
            with tarfile.open(archive) as tar:
                metadata = read_metadata(tar)
                graphs = [name for name in tar.getnames() if _GRAPH_NAME.match(name)]
                graph_file = tar.extractfile(graphs[0]) if graphs else None
                graph = json.loads(graph_file.read(_MAX_GRAPH_BYTES)) if graph_file else None
            if len(metadata["modules"]) > 1:
                raise ValueError(f"it holds several models: {', '.join(metadata['modules'])}")
            (module,) = metadata["modules"].values()
            (main,) = module["memory"]["functions"]["main"]
            states = list(main.get("states", {}).values())
            tensors = [*main["inputs"].values(), *main["outputs"].values(), *states]
            scratch = [
                int(each["workspace_size_bytes"])
                for operator in module["memory"]["functions"].get("operator_functions", ())
                for each in operator["workspace"]
            ]
            name = str(module["model_name"])
            if not _C_IDENTIFIER.match(name):
                raise ValueError(f"model_name is no C identifier: {name!r}")
            return cls(
                name=name,
                workspace_bytes=int(main["workspace_size_bytes"]),
                constants_bytes=int(main["constants_size_bytes"]),
                tensors=len(tensors) + len(states),
                io_bytes=sum(_align(int(tensor["size"])) for tensor in tensors),
                scratch_bytes=max(scratch, default=0),
                graph=None if graph is None else GraphCounts.of(graph),
                link_flags=_link_flags(module),
            )
        except Exception as exc:  # whatever tarfile and json raise of bytes made to hurt them
            raise ProjectError(f"{archive.name} is not a usable MLF archive: {exc}") from exc


def _link_flags(module: Mapping[str, Any]) -> tuple[str, ...]:
    """The libraries of external kernels; nothing else that a linker would read."""
    libraries = module.get("external_dependencies", ())
    flags = [
        str(flag)
        for library in libraries
        if isinstance(library, dict)
        for flag in library.get("link_flags", ())
    ]
    for flag in flags:
        if not _LINK_FLAG.match(flag):
            raise ValueError(f"it asks for the link flag {flag[:80]!r}")
    return tuple(flags)


def _align(size_bytes: int) -> int:
    return -(-size_bytes // _TENSOR_ALIGNMENT_BYTES) * _TENSOR_ALIGNMENT_BYTES


def read_metadata(tar: tarfile.TarFile) -> Any:
    """What metadata.json of an MLF archive says.

    Raises:
        ValueError: There is none, or it is no JSON.
    """
    names = [name for name in tar.getnames() if name in _METADATA_NAMES]
    file = tar.extractfile(names[0]) if names else None
    if file is None:
        raise ValueError("it has no metadata.json")
    return json.loads(file.read(_MAX_METADATA_BYTES))


def _write_member(
    tar: tarfile.TarFile, member: tarfile.TarInfo, target: pathlib.Path, mode: str
) -> None:
    """Write a regular file of an archive; the folders above it are made."""
    content = tar.extractfile(member)
    assert content is not None  # a regular file has one
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open(mode) as file:
        shutil.copyfileobj(content, file)


def extract_codegen(archive: pathlib.Path, directory: pathlib.Path) -> None:
    """Unpack the generated code of an MLF archive, and nothing else.

    Raises:
        ProjectError: The archive is broken, or a member is not a plain file below codegen/.
    """
    size_bytes = 0
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                path = pathlib.PurePosixPath(member.name)
                if path.parts[:1] != ("codegen",) or member.isdir():
                    continue
                size_bytes += member.size
                is_good = (
                    member.isreg()
                    and ".." not in path.parts
                    and _MEMBER_NAME.match(member.name)
                    and size_bytes <= _MAX_SOURCE_BYTES
                )
                if not is_good:
                    raise ProjectError(
                        f"{archive.name} holds a member that is not allowed: {member.name!r}"
                    )
                _write_member(tar, member, directory / path, "xb")
    except ProjectError:
        raise
    except Exception as exc:  # whatever tarfile raises of bytes made to hurt it
        raise no_room(exc) or ProjectError(
            f"{archive.name} cannot be unpacked: {type(exc).__name__}: {exc}"
        ) from exc


def unpack_extra_files(archive: pathlib.Path, directory: pathlib.Path) -> None:
    """Unpack the files that a user adds to a project, in place of those of the same names.

    Raises:
        ProjectError: There is no such archive, it is broken, or a member is not a plain file below
            the project.
    """
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                path = pathlib.PurePosixPath(member.name)
                if member.isdir():
                    continue
                if not member.isreg() or path.is_absolute() or ".." in path.parts:
                    raise ProjectError(
                        f"extra_files_tar: {archive.name} holds a member that is not allowed: "
                        f"{member.name!r}",
                        cure="pack plain files, with paths below the project",
                    )
                _write_member(tar, member, directory / path, "wb")
    except ProjectError:
        raise
    except Exception as exc:  # whatever tarfile raises of bytes made to hurt it
        raise ProjectError(f"extra_files_tar: {archive} cannot be unpacked: {exc}") from exc
