"""The Model Library Format: write, open, validate and unpack archives (see docs/mlf.md).

An archive may come from anywhere, so nothing in it is believed: not the number of its members, not
their sizes, names or types, nothing in its metadata. All of it is checked before anything is
unpacked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_microtvm.errors import ConfigError, ModelError
from pytest_microtvm.executors import GRAPH, ON_DEVICE
from pytest_microtvm.files import write_whole
from pytest_microtvm.mlf.archive import (
    FOREIGN_CURE,
    METADATA,
    Archive,
    opened,
    pack_library,
    read_json,
)
from pytest_microtvm.mlf.graph_check import check_graph
from pytest_microtvm.mlf.metadata import MAX_TENSORS, OLDEST_VERSION, VERSION, MetadataReader
from pytest_microtvm.mlf.specs import (
    DeadWeights,
    FloatOperators,
    KernelSpec,
    PoolSpec,
    StateSpec,
    TensorSpec,
)

MAX_METADATA_BYTES = 16 * 1024 * 1024
MAX_GRAPH_BYTES = 4 * 1024 * 1024
__all__ = [
    "MAX_TENSORS",
    "OLDEST_VERSION",
    "VERSION",
    "FloatOperators",
    "KernelSpec",
    "ModelLibrary",
    "PoolSpec",
    "StateSpec",
    "TensorSpec",
    "extract_library",
    "open_libraries",
    "open_library",
    "read_files",
    "read_graph",
    "write_library",
]


@dataclass(frozen=True)
class ModelLibrary:
    """What a validated archive says of itself.

    Args:
        path: Where the archive is.
        name: The module's name, a C identifier.
        inputs: Inputs in the model's order.
        outputs: Outputs in the model's order.
        workspace_bytes: Size of the arena for intermediates and workspaces.
        constants_bytes: Size of all constants.
        executors: Executors that the archive can be built for ("aot", "graph"). With "graph", the
            archive holds a graph.
        sha256: Hash of the archive's bytes, in hexadecimal.
        metadata: All of metadata.json.
        float_operators: What of a quantized model is computed in float32, if anything.
        kernels: Its kernels, in the order of their first calls, as far as the archive names them.
        states: What it keeps from run to run; the graph has them as further inputs and outputs.
        pools: Where its tensors are, from version 10 on; `workspace_bytes` is of them all together.
        constant_pools: Where those of its constants are that are not in flash.
        dead_weights: What a quantized model computes for nothing and its kernels leave out, if
            anything.
        state_bytes: Size of the memory that keeps `states`, which no other model may use.
    """

    path: Path
    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    workspace_bytes: int
    constants_bytes: int
    executors: tuple[str, ...]
    sha256: str
    metadata: Mapping[str, Any]
    float_operators: FloatOperators | None = None
    kernels: tuple[KernelSpec, ...] = ()
    states: tuple[StateSpec, ...] = ()
    pools: tuple[PoolSpec, ...] = ()
    constant_pools: tuple[PoolSpec, ...] = ()
    dead_weights: DeadWeights | None = None
    state_bytes: int = 0

    @property
    def signature(self) -> str | None:
        """The signature of the model that was compiled, where one was asked for."""
        module = self.metadata["modules"][self.name]
        model = module.get("model") if isinstance(module, dict) else None
        signature = model.get("signature") if isinstance(model, dict) else None
        return signature if isinstance(signature, str) else None


def open_library(path: Path) -> ModelLibrary:
    """Validate an archive of one model wholly and read what it holds.

    Raises:
        ModelError: It cannot be read, is damaged, was made by something else or newer, holds
            what an honest archive does not, or holds several models.
    """
    libraries = open_libraries(path)
    if len(libraries) > 1:
        raise ModelError(
            f"the archive {path} holds {len(libraries)} models, not one: "
            f"{', '.join(library.name for library in libraries)}",
            cure="take the archive of one model; this one is for an application of your own",
        )
    return libraries[0]


def open_libraries(path: Path) -> tuple[ModelLibrary, ...]:
    """Validate an archive wholly and read what it holds of each of its models.

    Raises:
        ModelError: As `open_library`, but for several models.
    """
    with opened(path) as archive:
        return _read_libraries(path, archive)


def extract_library(path: Path, directory: Path) -> None:
    """Validate an archive wholly and unpack it.

    Args:
        path: The archive.
        directory: Where to unpack; made when missing, never deleted.

    Raises:
        ModelError: As `open_library`. Nothing has been written then.
        ConfigError: The directory cannot be written.
    """
    with opened(path) as archive:
        _read_libraries(path, archive)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for name, member in archive.members.items():
                target = directory / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(member))
        except OSError as error:
            raise ConfigError(
                f"cannot unpack into {directory}: {error.strerror}",
                cure="choose a folder that can be written",
            ) from error


def read_files(path: Path) -> dict[str, bytes]:
    """The contents of an archive by path, once it was validated wholly.

    Raises:
        ModelError: As `open_library`, but for several models.
    """
    with opened(path) as archive:
        _read_libraries(path, archive)
        return {name: archive.read(member) for name, member in archive.members.items()}


def read_graph(library: ModelLibrary) -> str:
    """Read the graph of an archive: JSON, as TVM's graph executor writes it.

    Raises:
        ModelError: The archive has none, or cannot be read any more.
    """
    member = _graph_member(library.name)
    with opened(library.path) as archive:
        if member not in archive.members:
            raise archive.error("has no graph", "compile the model again with this version")
        return archive.read(archive.members[member]).decode("utf-8", "replace")


def write_library(path: Path, files: Mapping[str, bytes], modified_s: int = 0) -> None:
    """Write an archive whose bytes depend on the arguments only, and put it in place at once.

    Args:
        path: Where the archive goes; its folder must exist.
        files: Contents by path inside of the archive, metadata.json among them.
        modified_s: The time that every member carries, in seconds since 1970.

    Raises:
        ConfigError: The archive cannot be written. No file is left behind then.
    """
    try:
        write_whole(path, pack_library(files, modified_s))
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}", cure="choose a folder that can be written"
        ) from error


def _read_libraries(path: Path, archive: Archive) -> tuple[ModelLibrary, ...]:
    metadata = read_json(archive, METADATA, MAX_METADATA_BYTES)
    reader = MetadataReader(archive, metadata)
    names, sha256 = reader.module_names(), archive.sha256()
    return tuple(_read_library(path, archive, reader, metadata, name, sha256) for name in names)


def _read_library(
    path: Path,
    archive: Archive,
    reader: MetadataReader,
    metadata: dict[str, Any],
    name: str,
    sha256: str,
) -> ModelLibrary:
    for member in (
        f"codegen/host/include/tvmgen_{name}.h",
        f"codegen/host/src/{name}_model.c",
    ):
        if member not in archive.members:
            raise archive.error(f"lacks {member}", FOREIGN_CURE)
    module = reader.field(metadata["modules"], name, dict)
    reader.check_external(module)
    memory = reader.field(module, "memory", dict)
    functions = reader.field(memory, "functions", dict)
    mains = reader.field(functions, "main", list)
    if len(mains) != 1 or not isinstance(mains[0], dict):
        raise archive.error("has metadata without one entry memory.functions.main", FOREIGN_CURE)
    main = mains[0]
    inputs, outputs = reader.tensors(main, "inputs"), reader.tensors(main, "outputs")
    states = reader.states(main)
    state_tensors = tuple(state.tensor for state in states)
    c_names = [tensor.c_name.lower() for tensor in (*inputs, *outputs, *state_tensors)]
    if len(set(c_names)) != len(c_names):
        raise archive.error("has metadata with one c_name for two tensors", FOREIGN_CURE)
    if not outputs:
        raise archive.error("has metadata without outputs", FOREIGN_CURE)
    executors = reader.field(module, "executors", list)
    if not executors or not all(executor in ON_DEVICE for executor in executors):
        raise archive.error(f"has metadata with the executors {executors!r}", FOREIGN_CURE)
    workspace_bytes = reader.size(main, "workspace_size_bytes")
    if GRAPH in executors:
        counts = _read_graph(
            archive, name, (*inputs, *state_tensors), (*outputs, *state_tensors), workspace_bytes
        )
        if reader.field(module, "graph", dict) != counts:
            raise archive.error("has metadata that counts its graph wrongly", FOREIGN_CURE)
    return ModelLibrary(
        path,
        name,
        inputs,
        outputs,
        workspace_bytes,
        reader.size(main, "constants_size_bytes"),
        tuple(executors),
        sha256,
        metadata,
        reader.float_operators(module),
        reader.kernels(functions),
        states,
        reader.pools(main, workspace_bytes),
        reader.constant_pools(main),
        reader.dead_weights(module),
        reader.size(main, "state_size_bytes") if states else 0,
    )


def _read_graph(
    archive: Archive,
    name: str,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    workspace_bytes: int,
) -> dict[str, int]:
    """Check the graph; what it counts."""
    document = read_json(archive, _graph_member(name), MAX_GRAPH_BYTES)
    try:
        return check_graph(
            document,
            [tensor.size_bytes for tensor in inputs],
            [tensor.size_bytes for tensor in outputs],
            workspace_bytes,
        )
    except ValueError as error:
        raise archive.error(f"has a graph {error}", FOREIGN_CURE) from error


def _graph_member(name: str) -> str:
    return f"executor-config/graph/{name}.graph"
