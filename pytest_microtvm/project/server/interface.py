"""A model's C interface, as an archive's metadata tell of it, for programs that call it."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import re
import tarfile
from collections.abc import Mapping
from typing import Any

from .archive import read_metadata
from .errors import ProjectError

C_TYPES = {
    "bool": "uint8_t",
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "uint8": "uint8_t",
    "uint16": "uint16_t",
    "uint32": "uint32_t",
    "uint64": "uint64_t",
    "float32": "float",
    "float64": "double",
}
"""How C stores an element of each type; a bool is one byte, 0 or 1."""

_RUN_PARAMETERS = ("inputs", "outputs", "workspace_pools")  # of archives that do not tell them
_C_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}\Z")


@dataclasses.dataclass(frozen=True)
class InterfaceTensor:
    """An input or output.

    Attributes:
        name: The model's own name for it.
        c_name: Its member of the struct.
        size_macro: The macro with its bytes.
        dtype: Its element type, as numpy names it.
        shape: Its extents.
        scale: Real number = scale * (element - zero_point); None where it is not quantized.
        zero_point: See `scale`.
    """

    name: str
    c_name: str
    size_macro: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None = None
    zero_point: int = 0

    @property
    def c_type(self) -> str:
        """The C type of an element."""
        return C_TYPES[self.dtype]

    @property
    def elements(self) -> int:
        """The number of its elements."""
        return math.prod(self.shape)

    @classmethod
    def of(cls, name: str, entry: Mapping[str, Any]) -> InterfaceTensor:
        """Read an entry of the metadata."""
        tensor = cls(
            name,
            _identifier(entry["c_name"]),
            _identifier(entry["macro"]),
            str(entry["dtype"]),
            tuple(int(extent) for extent in entry["shape"]),
            None if entry.get("scale") is None else float(entry["scale"]),
            int(entry.get("zero_point") or 0),
        )
        if tensor.dtype not in C_TYPES:
            raise ValueError(f"{name} has elements of type {tensor.dtype}")
        return tensor


@dataclasses.dataclass(frozen=True)
class InterfacePool:
    """A member of the struct of pools.

    Attributes:
        name: The member.
        size_macro: The macro with its bytes.
        size_bytes: The same.
        attribute_macro: The macro that its definition begins with; empty where there is none.
        data_macro: The macro with the constants that it is filled with; empty for a workspace.
    """

    name: str
    size_macro: str
    size_bytes: int
    attribute_macro: str = ""
    data_macro: str = ""

    @classmethod
    def of(cls, name: str, entry: Mapping[str, Any]) -> InterfacePool:
        """Read an entry of the metadata."""
        attribute, data = entry.get("attribute_macro"), entry.get("data_macro")
        return cls(
            _identifier(name),
            _identifier(entry["macro"]),
            int(entry["size"]),
            _identifier(attribute) if attribute else "",
            _identifier(data) if data else "",
        )


@dataclasses.dataclass(frozen=True)
class ModelInterface:
    """A model's C interface.

    Attributes:
        name: The module's name, a C identifier.
        inputs: Its inputs, in the model's order.
        outputs: Its outputs, likewise.
        pools: The memory that the application gives it.
        run_parameters: The names of what a run takes.
        has_state: Whether it keeps something from run to run, which `tvmgen_NAME_reset` begins.
        devices: The accelerators that it runs on.
        has_io_places: Whether inputs and outputs have places in the pools, which
            `tvmgen_NAME_map_inputs` and `tvmgen_NAME_map_outputs` give.
    """

    name: str
    inputs: tuple[InterfaceTensor, ...]
    outputs: tuple[InterfaceTensor, ...]
    pools: tuple[InterfacePool, ...]
    run_parameters: tuple[str, ...]
    has_state: bool = False
    devices: tuple[str, ...] = ()
    has_io_places: bool = False

    @property
    def prefix(self) -> str:
        """What the names of its functions and structs begin with."""
        return f"tvmgen_{self.name}"

    @property
    def macro_prefix(self) -> str:
        """What the names of its macros begin with."""
        return f"TVMGEN_{self.name.upper()}"

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> ModelInterface:
        """Take it from the metadata of an archive.

        Raises:
            Exception: Whatever comes of metadata that lack something.
        """
        (module,) = metadata["modules"].values()
        (main,) = module["memory"]["functions"]["main"]
        given = {
            name: pool for name, pool in main["workspace_pools"].items() if not pool.get("internal")
        }
        return cls(
            _identifier(module["model_name"]),
            tuple(InterfaceTensor.of(*item) for item in main["inputs"].items()),
            tuple(InterfaceTensor.of(*item) for item in main["outputs"].items()),
            tuple(
                InterfacePool.of(*item)
                for pools in (given, main.get("constant_pools", {}))
                for item in pools.items()
            ),
            tuple(map(_identifier, main.get("run_parameters", _RUN_PARAMETERS))),
            has_state=bool(main.get("states")),
            devices=tuple(map(_identifier, module.get("devices", {}))),
            has_io_places=all(
                "workspace_offset" in entry
                for entry in (*main["inputs"].values(), *main["outputs"].values())
            ),
        )

    @classmethod
    def read(cls, archive: pathlib.Path) -> ModelInterface:
        """Read metadata.json of an archive.

        Raises:
            ProjectError: It does not tell of a C interface.
        """
        try:
            with tarfile.open(archive) as tar:
                return cls.of(read_metadata(tar))
        except Exception as exc:  # whatever tarfile and json raise of bytes made to hurt them
            raise ProjectError(
                f"{archive.name} does not tell of the model's C interface: "
                f"{type(exc).__name__}: {exc}",
                cure="compile the model with pytest-microtvm",
            ) from exc


def _identifier(value: Any) -> str:
    if not isinstance(value, str) or not _C_IDENTIFIER.match(value):
        raise ValueError(f"{value!r} is no C identifier")
    return value
