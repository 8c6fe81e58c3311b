"""The Model Library Format: write, open, validate and unpack archives (see docs/mlf.md).

An archive may come from anywhere, so nothing in it is believed: not the number of its members, not
their sizes, names or types, nothing in its metadata. All of it is checked before anything is
unpacked.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.executors import GRAPH, ON_DEVICE
from pytest_microtvm.mlf.archive import (
    FOREIGN_CURE,
    HOSTILE_CURE,
    METADATA,
    Archive,
    opened,
    pack_library,
    read_json,
)
from pytest_microtvm.mlf.element_types import DTYPE_BYTES
from pytest_microtvm.mlf.graph_check import MAX_DIMENSIONS, check_graph

VERSION = 9
"""The metadata version written here, and the newest that can be read."""

OLDEST_VERSION = 8
"""The oldest version that can be read; version 9 has states."""

MAX_METADATA_BYTES = 16 * 1024 * 1024
MAX_GRAPH_BYTES = 4 * 1024 * 1024
MAX_TENSORS = 1024

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}\Z")
_KERNEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}\Z")
_MAX_SIZE = 2**32 - 1


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model.

    Args:
        name: The model's own name for it.
        shape: Its extents, row-major; empty for a scalar.
        dtype: Element type as numpy names it.
        size_bytes: Bytes without padding.
        c_name: Its member in the structs of the C interface.
        signature_name: Its name in the model's signature, where the model has one.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    size_bytes: int
    c_name: str = ""
    signature_name: str | None = None


@dataclass(frozen=True)
class FloatOperators:
    """What of a quantized model is computed in float32 because no integer kernel exists.

    Args:
        operators: Each group of operators.
        functions: C names of the kernels that compute them.
        constants_bytes: Float32 constants that they read.
        workspace_bytes: What they take of the arena, at the most.
    """

    operators: tuple[str, ...]
    functions: tuple[str, ...]
    constants_bytes: int
    workspace_bytes: int

    def __str__(self) -> str:
        return (
            f"computed in float32 because no integer kernel exists: {'; '.join(self.operators)} "
            f"({self.constants_bytes} bytes of constants, {self.workspace_bytes} of the arena)"
        )


@dataclass(frozen=True)
class KernelSpec:
    """A kernel of a model.

    Args:
        name: Its C name.
        workspace_bytes: Scratch memory that it needs beside its tensors.
        macs: Multiplications with accumulation in one call; None where that is not known.
    """

    name: str
    workspace_bytes: int
    macs: int | None = None


@dataclass(frozen=True)
class StateSpec:
    """What a model keeps from run to run.

    Args:
        tensor: Its name, shape and element type.
        initial: The name of the constant that it begins as; None where that is zeros.
    """

    tensor: TensorSpec
    initial: str | None


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


def open_library(path: Path) -> ModelLibrary:
    """Validate an archive wholly and read what it holds.

    Raises:
        ModelError: It cannot be read, is damaged, was made by something else or newer, or holds
            what an honest archive does not.
    """
    with opened(path) as archive:
        return _read_library(path, archive)


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
        _read_library(path, archive)
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
    content = pack_library(files, modified_s)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink()
            raise
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}", cure="choose a folder that can be written"
        ) from error


def _read_library(path: Path, archive: Archive) -> ModelLibrary:
    metadata = _read_metadata(archive)
    reader = _Reader(archive, metadata)
    name = reader.module_name()
    for member in (
        f"codegen/host/include/tvmgen_{name}.h",
        f"codegen/host/src/{name}_model.c",
    ):
        if member not in archive.members:
            raise archive.error(f"lacks {member}", FOREIGN_CURE)
    module = reader.field(metadata["modules"], name, dict)
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
        archive.sha256(),
        metadata,
        reader.float_operators(module),
        reader.kernels(functions),
        states,
    )


def _read_metadata(archive: Archive) -> dict[str, Any]:
    return read_json(archive, METADATA, MAX_METADATA_BYTES)


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


class _Reader:
    """Takes fields out of metadata and checks their types."""

    def __init__(self, archive: Archive, metadata: dict[str, Any]) -> None:
        self._archive = archive
        self._metadata = metadata

    def field(self, owner: dict[str, Any], key: str, kind: type) -> Any:
        """`owner[key]`, which must be a `kind`."""
        value = owner.get(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self._archive.error(
                f"has metadata whose {key!r} is not of type {kind.__name__}", FOREIGN_CURE
            )
        return value

    def size(self, owner: dict[str, Any], key: str) -> int:
        """`owner[key]` as a number of bytes."""
        value: int = self.field(owner, key, int)
        if not 0 <= value <= _MAX_SIZE:
            raise self._archive.error(f"has metadata whose {key!r} is {value}", FOREIGN_CURE)
        return value

    def module_name(self) -> str:
        """The name of the one module, once the version is known to fit."""
        version = self.field(self._metadata, "version", int)
        if version > VERSION:
            raise self._archive.error(
                f"has version {version} of the format, {VERSION} is the newest known here",
                "update pytest-microtvm",
            )
        if version < OLDEST_VERSION:
            raise self._archive.error(
                f"has version {version} of the format, which an older TVM wrote", FOREIGN_CURE
            )
        modules = self.field(self._metadata, "modules", dict)
        if len(modules) != 1:
            raise self._archive.error(f"holds {len(modules)} modules, not one", FOREIGN_CURE)
        name = str(next(iter(modules)))
        if not _IDENTIFIER.match(name):
            raise self._archive.error(f"holds a module named {name[:80]!r}", HOSTILE_CURE)
        return name

    def kernels(self, functions: dict[str, Any]) -> tuple[KernelSpec, ...]:
        """The kernels."""
        if "operator_functions" not in functions:
            return ()
        entries = self.field(functions, "operator_functions", list)
        kernels = tuple(self._kernel(entry) for entry in entries)
        if len({kernel.name for kernel in kernels}) != len(kernels):
            raise self._archive.error("has metadata that names a kernel twice", FOREIGN_CURE)
        return kernels

    def _kernel(self, entry: Any) -> KernelSpec:
        if not isinstance(entry, dict):
            raise self._archive.error(
                "has metadata with a kernel that is not an object", FOREIGN_CURE
            )
        name = self.field(entry, "function_name", str)
        if not _KERNEL_NAME.match(name):
            raise self._archive.error(f"has a kernel named {name[:80]!r}", HOSTILE_CURE)
        workspaces = self.field(entry, "workspace", list)
        if not all(isinstance(workspace, dict) for workspace in workspaces):
            raise self._archive.error(
                f"has metadata with a wrong workspace of {name}", FOREIGN_CURE
            )
        workspace_bytes = sum(self.size(each, "workspace_size_bytes") for each in workspaces)
        macs = None if entry.get("macs") is None else self.field(entry, "macs", int)
        if macs is not None and macs < 0:
            raise self._archive.error(f"has metadata with {macs} macs of {name}", FOREIGN_CURE)
        return KernelSpec(name, workspace_bytes, macs)

    def tensors(self, main: dict[str, Any], key: str) -> tuple[TensorSpec, ...]:
        """The inputs or the outputs."""
        entries = self.field(main, key, dict)
        if len(entries) > MAX_TENSORS:
            raise self._archive.error(f"has metadata with {len(entries)} {key}", HOSTILE_CURE)
        return tuple(self._tensor(name, entry) for name, entry in entries.items())

    def states(self, main: dict[str, Any]) -> tuple[StateSpec, ...]:
        """What the model keeps from run to run."""
        if "states" not in main:
            return ()
        tensors = self.tensors(main, "states")
        initial = [main["states"][tensor.name].get("initial") for tensor in tensors]
        if not all(name is None or isinstance(name, str) for name in initial):
            raise self._archive.error(
                "has metadata with a state of unknown initial value", FOREIGN_CURE
            )
        return tuple(map(StateSpec, tensors, initial))

    def float_operators(self, module: dict[str, Any]) -> FloatOperators | None:
        """What is computed in float32."""
        if "float_operators" not in module:
            return None
        entry = self.field(module, "float_operators", dict)
        operators = self.field(entry, "operators", list)
        functions = self.field(entry, "functions", list)
        if not all(isinstance(t, str) and t.isprintable() for t in (*operators, *functions)):
            raise self._archive.error("has float_operators that are not names", FOREIGN_CURE)
        return FloatOperators(
            tuple(operators),
            tuple(functions),
            self.size(entry, "constants_size_bytes"),
            self.size(entry, "workspace_size_bytes"),
        )

    def _tensor(self, name: str, entry: Any) -> TensorSpec:
        if not isinstance(entry, dict):
            raise self._archive.error(
                "has metadata with a tensor that is not an object", FOREIGN_CURE
            )
        shape = self.field(entry, "shape", list)
        dtype = self.field(entry, "dtype", str)
        c_name = self.field(entry, "c_name", str)
        signature_name = entry.get("signature_name")
        size_bytes = self.size(entry, "size")
        is_good = (
            dtype in DTYPE_BYTES
            and len(shape) <= MAX_DIMENSIONS
            and all(type(extent) is int and 0 < extent <= _MAX_SIZE for extent in shape)
            and math.prod(shape) * DTYPE_BYTES[dtype] == size_bytes
            and _IDENTIFIER.match(c_name)
            and (signature_name is None or isinstance(signature_name, str))
            and all(map(_is_text, (name, signature_name or "")))
        )
        if not is_good:
            raise self._archive.error(
                f"has metadata with a wrong shape, type, size or C name of {name[:80]!r}",
                FOREIGN_CURE,
            )
        return TensorSpec(name, tuple(shape), dtype, size_bytes, c_name, signature_name)


def _is_text(name: str) -> bool:
    """Whether a name can be written: JSON may hold halves of characters."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
