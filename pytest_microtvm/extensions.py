"""What other packages can add: to the compiler, members of entry point groups; folders elsewhere.

Our own members stand in the same tables as theirs, under a name and as "module:attribute", so that
there is one way to find a member, and nothing is imported before it is asked for.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from pytest_microtvm.errors import ConfigError

_SOURCES = (".py", ".c", ".h")
"""Suffixes of the files of another package that decide what it adds."""


@dataclass(frozen=True)
class Group:
    """One kind of thing that can be added.

    Args:
        name: Of the entry point group.
        what: A member, in messages.
        built_in: Our own members, by name.
    """

    name: str
    what: str
    built_in: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        """The names of all members in lower case, ours first.

        Raises:
            ConfigError: Two members have the same name.
        """
        return tuple(self._members())

    def load(self, name: str) -> Any:
        """The member of a name, whatever the letter case.

        Raises:
            ConfigError: There is no such entry, or the package that adds it is broken.
        """
        if name.lower() in self.built_in:
            module, _, attribute = self.built_in[name.lower()].partition(":")
            return getattr(importlib.import_module(module), attribute)
        entry_point = self._members().get(name.lower())
        if entry_point is None:
            raise ConfigError(
                f"there is no {self.what} {name!r}",
                cure=f"use one of {', '.join(self.names())}, or install the package that adds it",
            )
        try:
            return entry_point.load()
        except Exception as error:  # another package's code: anything may happen
            raise ConfigError(
                f"the {self.what} {name!r} of {entry_point.value} cannot be loaded: {error!r}",
                cure="repair or remove that package",
            ) from error

    def identity(self) -> list[list[str]]:
        """What tells the members that other packages add from those of other versions."""
        added = [member for member in self._members().values() if member is not None]
        return [
            [self.name, member.name, member.value, _version(member), _content(member)]
            for member in added
        ]

    def _members(self) -> dict[str, EntryPoint | None]:
        """All members by name; None for our own."""
        members: dict[str, EntryPoint | None] = dict.fromkeys(self.built_in)
        for entry_point in _installed(self.name):
            name = entry_point.name.lower()
            if name in members:
                raise ConfigError(
                    f"{entry_point.value} adds a {self.what} {name!r}, which is there already",
                    cure="remove that package, or one of the two that add it",
                )
            members[name] = entry_point
        return members


FRONT_ENDS = Group(
    "pytest_microtvm.front_ends",
    "front end",
    {
        "tflite": "pytest_microtvm.compiler.frontends.tflite:import_tflite",
        "onnx": "pytest_microtvm.compiler.frontends.onnx:import_onnx",
        "json": "pytest_microtvm.compiler.frontends.relax:import_relax",
        "pt2": "pytest_microtvm.compiler.frontends.torch:import_torch",
        "keras": "pytest_microtvm.compiler.frontends.keras:refuse_keras",
        "h5": "pytest_microtvm.compiler.frontends.keras:refuse_keras",
    },
)
"""By the suffix of model files without its dot: from the bytes of a file, and the shapes of open
inputs, to an `ImportedModel`."""

CPU_EXTENSIONS = Group(
    "pytest_microtvm.cpu_extensions",
    "CPU extension",
    {
        "none": "pytest_microtvm.compiler.quantized.kernels.portable:EXTENSION",
        "dsp": "pytest_microtvm.compiler.quantized.kernels.dsp:EXTENSION",
        "helium": "pytest_microtvm.compiler.quantized.kernels.helium:EXTENSION",
        "swar64": "pytest_microtvm.compiler.quantized.kernels.swar64:EXTENSION",
        "rvv": "pytest_microtvm.compiler.quantized.kernels.rvv:EXTENSION",
    },
)
"""By what boards call it in `cpu.simd`: a `CpuExtension`, the kernels that are written for it."""

OPERATORS = Group("pytest_microtvm.operators", "operator")
"""By any name: an `Operator`, computed over integers. Our own are in tables of the compiler."""

EXPORTS = Group(
    "pytest_microtvm.exports",
    "export format",
    {
        "mlf": "pytest_microtvm.exports.formats.plain:archive",
        "c": "pytest_microtvm.exports.formats.plain:c_files",
        "cmake": "pytest_microtvm.exports.formats.plain:cmake",
        "make": "pytest_microtvm.exports.formats.plain:make",
        "zephyr-module": "pytest_microtvm.exports.formats.rtos:zephyr_module",
        "arduino-library": "pytest_microtvm.exports.formats.packages:arduino_library",
        "arduino-zip": "pytest_microtvm.exports.formats.packages:arduino_zip",
        "esp-idf-component": "pytest_microtvm.exports.formats.rtos:esp_idf_component",
        "cmsis-pack": "pytest_microtvm.exports.formats.packages:cmsis_pack",
        "stm32": "pytest_microtvm.exports.formats.stm32:stm32",
        "platformio": "pytest_microtvm.exports.formats.packages:platformio",
    },
)
"""By what `microtvm export --format` takes: from the `Contents` of an archive to the files of a
folder, by path."""

_SIGNALS = "pytest_microtvm.compiler.custom_operators.signal"
_FRAMING = "pytest_microtvm.compiler.custom_operators.framing"
CUSTOM_OPERATORS = Group(
    "pytest_microtvm.custom_operators",
    "custom operator",
    {
        "detection": "pytest_microtvm.compiler.custom_operators.detection:DETECTION_POSTPROCESS",
        "signal_auto_scale": f"{_SIGNALS}:AUTO_SCALE",
        "signal_delay": f"{_FRAMING}:DELAY",
        "signal_energy": f"{_SIGNALS}:ENERGY",
        "signal_filter_bank": f"{_SIGNALS}:FILTER_BANK",
        "signal_framer": f"{_FRAMING}:FRAMER",
        "signal_irfft": f"{_SIGNALS}:IRFFT",
        "signal_log": f"{_SIGNALS}:LOG",
        "signal_overlap_add": f"{_FRAMING}:OVERLAP_ADD",
        "signal_pcan": f"{_SIGNALS}:PCAN",
        "signal_rfft": f"{_SIGNALS}:RFFT",
        "signal_square_root": f"{_SIGNALS}:SQUARE_ROOT",
        "signal_stacker": f"{_FRAMING}:STACKER",
        "signal_subtraction": f"{_SIGNALS}:SUBTRACTION",
        "signal_window": f"{_SIGNALS}:WINDOW",
    },
)
"""By any name: a `CustomOperator` of TFLite models."""

EXTERNAL_KERNELS = Group(
    "pytest_microtvm.external_kernels",
    "library of external kernels",
    {"cmsis_nn": "pytest_microtvm.compiler.external.cmsis_nn:KERNELS"},
)
"""By what boards call it in `cpu.external`: `ExternalKernels`, of a library or an accelerator."""

COMPILER_GROUPS = (FRONT_ENDS, CPU_EXTENSIONS, OPERATORS, CUSTOM_OPERATORS, EXTERNAL_KERNELS)


@functools.cache
def _installed(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of a group, in an order that does not change."""
    found = importlib.metadata.entry_points(group=group)
    return tuple(sorted(found, key=lambda member: (member.name, member.value)))


def _version(member: EntryPoint) -> str:
    return "" if member.dist is None else f"{member.dist.name} {member.dist.version}"


def _content(member: EntryPoint) -> str:
    """A hash of the sources of the package that a member is in: it may be under development."""
    digest = hashlib.sha256()
    for path in _sources(member.value.partition(":")[0].partition(".")[0]):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources(package: str) -> Iterator[Path]:
    spec = importlib.util.find_spec(package)
    if spec is None:
        return
    folders = spec.submodule_search_locations
    if folders is None:
        yield from (Path(origin) for origin in (spec.origin,) if origin is not None)
        return
    for folder in folders:
        paths = Path(folder).rglob("*")
        yield from sorted(path for path in paths if path.suffix in _SOURCES and path.is_file())


def directories_of(group: str, what: str) -> Iterator[Path]:
    """The folders that packages offer by an entry point: a function that returns a path.

    Args:
        group: Of the entry points.
        what: What is in the folders, in messages: "boards", say.

    Raises:
        ConfigError: The code of a package fails; names it.
    """
    for entry_point in importlib.metadata.entry_points(group=group):
        try:
            directory = Path(entry_point.load()())
        except Exception as error:  # another package's code: anything may happen
            raise ConfigError(
                f"the {what} of {entry_point.value} cannot be found: {error!r}",
                cure="repair or remove that package",
            ) from error
        yield directory
