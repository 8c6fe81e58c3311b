"""Takes the fields of an archive's metadata, none of which is believed before it was checked."""

from __future__ import annotations

import math
import re
import sys
from typing import Any

from pytest_microtvm.mlf.archive import FOREIGN_CURE, HOSTILE_CURE, Archive
from pytest_microtvm.mlf.element_types import DTYPE_BYTES
from pytest_microtvm.mlf.graph_check import MAX_DIMENSIONS
from pytest_microtvm.mlf.specs import (
    DeadWeights,
    FloatOperators,
    KernelSpec,
    PoolSpec,
    StateSpec,
    TensorSpec,
)

VERSION = 10
"""The metadata version written here, and the newest that can be read."""

OLDEST_VERSION = 8
"""The oldest version that can be read; version 9 has states, version 10 several pools."""

MAX_TENSORS = 1024
MAX_MODULES = 64

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}\Z")
_KERNEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}\Z")
_LINK_FLAG = re.compile(r"-l[A-Za-z0-9_.+-]+\Z")
_MAX_SIZE = 2**32 - 1


class MetadataReader:
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

    def module_names(self) -> tuple[str, ...]:
        """The names of the modules, at least one, once the version is known to fit."""
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
        names = tuple(map(str, self.field(self._metadata, "modules", dict)))
        if not 1 <= len(names) <= MAX_MODULES:
            raise self._archive.error(f"holds {len(names)} modules", FOREIGN_CURE)
        for name in names:
            if not _IDENTIFIER.match(name):
                raise self._archive.error(f"holds a module named {name[:80]!r}", HOSTILE_CURE)
        if len({name.lower() for name in names}) != len(names):
            raise self._archive.error("holds modules whose macros are the same", FOREIGN_CURE)
        return names

    def check_external(self, module: dict[str, Any]) -> None:
        """Refuse what a linker would take for more than the name of a library."""
        libraries = module.get("external_dependencies", [])
        for library in libraries if isinstance(libraries, list) else [libraries]:
            if not isinstance(library, dict):
                raise self._archive.error(
                    "has metadata with an external dependency that is not an object", FOREIGN_CURE
                )
            flags = self.field(library, "link_flags", list) if "link_flags" in library else []
            for flag in flags:
                if not isinstance(flag, str) or not _LINK_FLAG.match(flag):
                    raise self._archive.error(
                        f"asks for the link flag {str(flag)[:80]!r}", HOSTILE_CURE
                    )

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

    def pools(self, main: dict[str, Any], workspace_bytes: int) -> tuple[PoolSpec, ...]:
        """The pools of the workspace, which lie one after the other in an executor's arena."""
        found = []
        end = 0
        for name, entry in self._pools(main, "workspace_pools").items():
            if "offset" not in entry:  # of states, or of an older version
                continue
            if self.size(entry, "offset") != end:
                raise self._archive.error(
                    f"has metadata with the pool {name} at a wrong place", FOREIGN_CURE
                )
            end += self.size(entry, "size")
            bound_bytes = self.size(entry, "bound")
            is_internal = self.field(entry, "internal", bool)
            limit_bytes = self._limit(entry)
            found.append(
                PoolSpec(name, self.size(entry, "size"), limit_bytes, bound_bytes, is_internal)
            )
        if found and end != workspace_bytes:
            raise self._archive.error("has metadata whose pools are not its arena", FOREIGN_CURE)
        return tuple(found)

    def constant_pools(self, main: dict[str, Any]) -> tuple[PoolSpec, ...]:
        """The pools of constants."""
        pools = self._pools(main, "constant_pools").items()
        return tuple(
            PoolSpec(name, self.size(entry, "size"), self._limit(entry)) for name, entry in pools
        )

    def _limit(self, entry: dict[str, Any]) -> int | None:
        properties = self.field(entry, "properties", dict) if "properties" in entry else {}
        known = "size_hint_bytes" in properties
        return self.size(properties, "size_hint_bytes") if known else None

    def _pools(self, main: dict[str, Any], key: str) -> dict[str, dict[str, Any]]:
        pools: dict[str, dict[str, Any]] = self.field(main, key, dict) if key in main else {}
        for name, entry in pools.items():
            if not _IDENTIFIER.match(name) or not isinstance(entry, dict):
                raise self._archive.error(f"has metadata with the pool {name[:80]!r}", FOREIGN_CURE)
        return pools

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

    def dead_weights(self, module: dict[str, Any]) -> DeadWeights | None:
        """What the model computes for nothing."""
        if "dead_weights" not in module:
            return None
        entry = self.field(module, "dead_weights", dict)
        macs = self.field(entry, "macs", int)
        if macs < 0:
            raise self._archive.error(f"has metadata with {macs} dead macs", FOREIGN_CURE)
        return DeadWeights(macs, self.size(entry, "constants_size_bytes"))

    def _tensor(self, name: str, entry: Any) -> TensorSpec:
        if not isinstance(entry, dict):
            raise self._archive.error(
                "has metadata with a tensor that is not an object", FOREIGN_CURE
            )
        shape = self.field(entry, "shape", list)
        dtype = self.field(entry, "dtype", str)
        c_name = self.field(entry, "c_name", str)
        signature_name = entry.get("signature_name")
        scale, zero_point = entry.get("scale"), entry.get("zero_point")
        limit = entry.get("index_limit")
        size_bytes = self.size(entry, "size")
        is_good = (
            dtype in DTYPE_BYTES
            and len(shape) <= MAX_DIMENSIONS
            and all(type(extent) is int and 0 < extent <= _MAX_SIZE for extent in shape)
            and math.prod(shape) * DTYPE_BYTES[dtype] == size_bytes
            and _IDENTIFIER.match(c_name)
            and (signature_name is None or isinstance(signature_name, str))
            and _is_quantization(dtype, scale, zero_point)
            and (limit is None or (type(limit) is int and 0 < limit <= _MAX_SIZE))
            and all(map(_is_text, (name, signature_name or "")))
        )
        if not is_good:
            raise self._archive.error(
                "has metadata with a wrong shape, type, size, quantization or C name of "
                f"{name[:80]!r}",
                FOREIGN_CURE,
            )
        return TensorSpec(
            name,
            tuple(shape),
            dtype,
            size_bytes,
            c_name,
            signature_name,
            scale,
            zero_point,
            limit,
        )


def _is_text(name: str) -> bool:
    """Whether a name can be written: JSON may hold halves of characters."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_quantization(dtype: str, scale: object, zero_point: object) -> bool:
    """Whether a tensor's quantization is one, or there is none."""
    if scale is None or zero_point is None:
        return scale is zero_point
    if "int" not in dtype or type(scale) not in (int, float) or type(zero_point) is not int:
        return False
    bits = 8 * DTYPE_BYTES[dtype]
    lowest = 0 if dtype.startswith("u") else -(1 << (bits - 1))
    is_scale = 0 < scale <= sys.float_info.max  # type: ignore[operator]
    return is_scale and lowest <= zero_point < lowest + (1 << bits)
