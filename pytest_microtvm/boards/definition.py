"""Board definitions: what a board is, read from `NAME.toml` files.

A definition describes hardware by the keys of the dataclasses below, in tables of the same names.
Every other table is that of a platform: how this platform makes firmware for the board. The first
of them is the board's default. What a platform's table may hold is known to the platform alone;
its server tells, and checks the table when the board is used with it. docs/porting.md explains all
keys.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_microtvm.boards.like import complete_likenesses
from pytest_microtvm.boards.old_form import MOVED_TABLES, convert_old_form
from pytest_microtvm.boards.processors import check_processor
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.extensions import CPU_EXTENSIONS, EXTERNAL_KERNELS, directories_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

ENTRY_POINT_GROUP = "pytest_microtvm.boards"

_PACKAGE = Path(__file__).absolute().parents[1]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PLATFORM_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_ADDRESSES = 1 << 64
_MEMORY_KINDS = ("flash", "ram")
QEMU, SIMAVR = "qemu", "simavr"
"""The kinds of emulators."""
_MISSPELT_RATIO = 0.75
"""How alike the name of an unknown table is to that of a known one to be taken for a slip."""


@dataclasses.dataclass(frozen=True)
class Cpu:
    """The processor.

    `arch` is its family ("i386", "arm", "riscv32", "host"), `core` what it is exactly, `fpu` and
    `float_abi` how it computes floats. `simd` names the vector instructions that kernels over int8
    may use: "none", "dsp", "helium", "swar64", "rvv", or what an installed package adds. `external`
    names kernels of a library or an accelerator that are taken before these: "cmsis_nn", or what a
    package adds.
    """

    arch: str
    core: str = ""
    fpu: str = ""
    float_abi: str = ""
    simd: str = "none"
    external: str = ""


@dataclasses.dataclass(frozen=True)
class MemoryRegion:
    """A region of memory: `kind` is "flash" (code and constants) or "ram"; origin is an address.

    How fast it is decides which tensors a model has there, when its pools are the board's regions:
    bytes per cycle of a burst, and cycles before one; 0 where that is not known.
    """

    name: str
    kind: str
    origin: int
    bytes: int
    read_bandwidth: int = 0
    write_bandwidth: int = 0
    read_latency: int = 0
    write_latency: int = 0


@dataclasses.dataclass(frozen=True)
class Emulator:
    """The program that stands for the board; `install` is the command that installs it.

    `kind` says how it is started: "qemu", or "simavr" for a program over libsimavr. Of simavr's,
    `machine` is the chip, and `clock_hz` the speed of its CPU.
    """

    program: str
    machine: str
    arguments: tuple[str, ...] = ()
    install: str = ""
    kind: str = QEMU
    clock_hz: int = 0


@dataclasses.dataclass(frozen=True)
class Flash:
    """How firmware reaches a real board; docs/porting.md tells what each method needs.

    `usb_ids` ("vid:pid") are those of the board's port or probe. `target` is what the method's
    program calls the board or chip, `arguments` are further ones for it, `format` is the kind of
    file to write where a method leaves a choice, `volume` the label of the volume to copy to, and
    `command` the user's own.
    """

    method: str
    usb_ids: tuple[str, ...] = ()
    target: str = ""
    arguments: tuple[str, ...] = ()
    format: str = ""
    volume: str = ""
    command: tuple[str, ...] = ()
    timeout_s: int = 120


@dataclasses.dataclass(frozen=True)
class PlatformTable:
    """A platform's table of a board's definition.

    Attributes:
        platform: The platform.
        text: The table as JSON; the same table always has the same text.
    """

    platform: str
    text: str = "{}"

    @classmethod
    def of(cls, platform: str, settings: Mapping[str, Any]) -> PlatformTable:
        """The table with these keys and values."""
        return cls(platform, json.dumps(settings, sort_keys=True))

    @property
    def settings(self) -> dict[str, Any]:
        """The table's keys and values; a copy."""
        settings: dict[str, Any] = json.loads(self.text)
        return settings


@dataclasses.dataclass(frozen=True)
class Board:
    """A board, and the platform that makes its firmware.

    Attributes:
        name: What users call it; also the name of its file.
        cpu: Its processor.
        tables: How each platform that serves it makes its firmware; the first is the default.
        platform: The chosen platform; the default one unless `on` chose another.
        description: One line for a person.
        memory: Empty when the board has no limits to keep to.
        emulator: None for a board that is only real.
        flash: None for a board that is only emulated. One that has both is emulated, unless a lab
            has a real one.
        path: The file of its definition; None for a board that is not from a file.
    """

    name: str
    cpu: Cpu
    tables: tuple[PlatformTable, ...]
    platform: str = ""
    description: str = ""
    memory: tuple[MemoryRegion, ...] = ()
    emulator: Emulator | None = None
    flash: Flash | None = None
    path: Path | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.platform:
            object.__setattr__(self, "platform", self.platforms[0])

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platforms that serve it, the default one first."""
        return tuple(table.platform for table in self.tables)

    @property
    def settings(self) -> dict[str, Any]:
        """The keys and values of the chosen platform's table; a copy."""
        return next(t.settings for t in self.tables if t.platform == self.platform)

    @property
    def label(self) -> str:
        """The board's name, and the platform's where that is not the default: `NAME/PLATFORM`."""
        return self.name if self.platform == self.platforms[0] else f"{self.name}/{self.platform}"

    @property
    def file_label(self) -> str:
        """The label as a part of a file's name."""
        return self.label.replace("/", "-")

    @property
    def is_only_real(self) -> bool:
        """Whether it takes a board on a desk, since nothing here emulates it."""
        return self.emulator is None and self.flash is not None

    def is_real(self, in_lab: bool) -> bool:
        """Whether a board on a desk is meant: a lab has one, or nothing emulates it.

        Project API servers decide the same by the options that a lab's entry gives them.

        Args:
            in_lab: Whether a lab has one.
        """
        return in_lab or self.is_only_real

    def on(self, platform: str) -> Board:
        """The same board with another platform chosen.

        Raises:
            ConfigError: The definition has no table for that platform.
        """
        if platform not in self.platforms:
            raise ConfigError(
                f"board {self.name} has no table for the platform {platform}, "
                f"only for {', '.join(self.platforms)}",
                cure=f"choose one of these, or add a table [{platform}] to "
                f"{self.path or 'its definition'}",
            )
        return dataclasses.replace(self, platform=platform)

    def memory_bytes(self, kind: str) -> int:
        """The bytes of all regions of a kind."""
        return sum(region.bytes for region in self.memory if region.kind == kind)

    def to_json(self) -> str:
        """The definition as a platform's server reads it: the hardware, and the chosen table.

        The same board on the same platform always gives the same text.
        """
        hardware = dataclasses.asdict(self)
        for key in ("tables", "platform", "path"):
            del hardware[key]
        hardware[self.platform] = self.settings
        return json.dumps(hardware, indent=2, sort_keys=True) + "\n"


_HARDWARE = tuple(
    field.name
    for field in dataclasses.fields(Board)
    if field.name not in ("tables", "platform", "path")
)


def load_boards(extra_directories: Sequence[Path] = ()) -> dict[str, Board]:
    """Load every board: those of this package, of installed packages, and of `extra_directories`.

    A board found later replaces one of the same name. Another package offers boards by an entry
    point of the group `pytest_microtvm.boards`: a function without arguments that returns the path
    of a folder.

    Returns:
        The boards by name, sorted.

    Raises:
        ConfigError: A folder that does not exist, or a definition with a mistake in it.
    """
    boards: dict[str, Board] = {}
    for directory in (
        _own_directory(),
        *directories_of(ENTRY_POINT_GROUP, "boards"),
        *extra_directories,
    ):
        if not directory.is_dir():
            raise ConfigError(
                f"board folder {directory} does not exist", cure="name a folder of .toml files"
            )
        for path in sorted(directory.glob("*.toml")):
            board = load_board(path)
            boards[board.name] = board
    return dict(sorted(boards.items()))


def load_board(path: Path) -> Board:
    """Load one definition.

    Raises:
        ConfigError: Names the file and the key in trouble.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(f"cannot read board file {path}: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:  # TOML or UTF-8
        raise ConfigError(f"{path}: not a TOML file: {exc}") from exc
    return _board_of(convert_old_form(table, path), path)


def board_from_json(text: str) -> Board:
    """The definition that `Board.to_json` wrote; the platform chosen then is its only one now."""
    return _board_of(_without_null(json.loads(text)), None)


def _board_of(table: dict[str, Any], path: Path | None) -> Board:
    shown = path or Path("board.json")
    hardware = {key: value for key, value in table.items() if key in _HARDWARE}
    others = {key: value for key, value in table.items() if key not in _HARDWARE}
    tables = tuple(
        _platform_table(key, value, shown)
        for key, value in complete_likenesses(others, shown).items()
    )
    if not tables and "name" in hardware:
        raise ConfigError(
            f"{shown}: no platform has a table", cure="add one, such as [baremetal] or [host]"
        )
    hints = typing.get_type_hints(Board)
    for key in ("name", "cpu"):
        if key not in hardware:
            raise ConfigError(f"{shown}: key {key} is missing")
    values = {key: _read_value(hints[key], value, shown, key) for key, value in hardware.items()}
    board = Board(**values, tables=tables, path=path)
    _check(board, shown)
    return board


def _platform_table(key: str, value: Any, path: Path) -> PlatformTable:
    if not isinstance(value, dict) or not _PLATFORM_NAME.match(key):
        raise ConfigError(
            f"{path}: unknown key {key}",
            cure=f"the keys are {', '.join(_HARDWARE)} and the tables of platforms",
        )
    if key in MOVED_TABLES:
        raise ConfigError(
            f"{path}: {key} is a part of a platform's table",
            cure=f"write [baremetal.{key}], for instance",
        )
    close = difflib.get_close_matches(key, _HARDWARE, 1, _MISSPELT_RATIO)
    if close:
        raise ConfigError(f"{path}: unknown key {key}", cure=f"is {close[0]} meant?")
    try:
        return PlatformTable.of(key, value)
    except TypeError as exc:  # dates and times, which JSON lacks
        raise ConfigError(f"{path}: {key} has a value that no platform takes: {exc}") from exc


def _without_null(value: Any) -> Any:
    """JSON as TOML would have it: what is None is left out."""
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    return [_without_null(item) for item in value] if isinstance(value, list) else value


def _own_directory() -> Path:
    """The definitions that come with this package: in the wheel, or beside it in a source tree."""
    installed = _PACKAGE / "board_definitions"
    return installed if installed.is_dir() else _PACKAGE.parent / "boards"


def _read_table(kind: Any, table: dict[str, Any], path: Path, prefix: str) -> Any:
    """Make a dataclass of a TOML table; `prefix` is where the table stands ("cpu.")."""
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in table:
        if key not in fields:
            raise ConfigError(
                f"{path}: unknown key {prefix}{key}", cure=f"the keys are {', '.join(fields)}"
            )
    for name, field in fields.items():
        if name not in table and field.default is dataclasses.MISSING:
            raise ConfigError(f"{path}: key {prefix}{name} is missing")
    values = {
        key: _read_value(hints[key], value, path, prefix + key) for key, value in table.items()
    }
    return kind(**values)


def _read_value(hint: Any, value: Any, path: Path, key: str) -> Any:
    """Check and convert one value to the type of its dataclass field."""
    if typing.get_origin(hint) is types.UnionType:  # X | None: TOML has no null
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{path}: {key} must be a list")
        item = typing.get_args(hint)[0]
        return tuple(
            _read_value(item, element, path, f"{key}[{index}]")
            for index, element in enumerate(value)
        )
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise ConfigError(f"{path}: {key} must be a table")
        return _read_table(hint, value, path, f"{key}.")
    if not isinstance(value, hint) or isinstance(value, bool):
        wanted = "a whole number" if hint is int else "a string"
        raise ConfigError(f"{path}: {key} must be {wanted}, not {value!r}")
    if hint is int and value < 0:
        raise ConfigError(f"{path}: {key} must not be negative")
    return value


def _check(board: Board, path: Path) -> None:
    """Check what types cannot say."""
    if not _NAME.match(board.name):
        raise ConfigError(f"{path}: name must be letters, digits and _, not {board.name!r}")
    if board.path is not None and board.name != path.stem:
        raise ConfigError(
            f"{path}: name is {board.name!r}", cure=f"rename the file to {board.name}.toml"
        )
    check_processor(path, board.cpu.arch, board.cpu.core, board.cpu.float_abi)
    if board.cpu.simd not in CPU_EXTENSIONS.names():
        raise ConfigError(
            f"{path}: cpu.simd must be one of {', '.join(CPU_EXTENSIONS.names())}",
            cure="correct it, or install the package that adds this CPU extension",
        )
    if board.cpu.external and board.cpu.external not in EXTERNAL_KERNELS.names():
        raise ConfigError(
            f"{path}: cpu.external must be one of {', '.join(EXTERNAL_KERNELS.names())}",
            cure="correct it, or install the package that adds these external kernels",
        )
    if board.emulator is not None:
        _check_emulator(board.emulator, path)
    _check_memory(board, path)


def _check_memory(board: Board, path: Path) -> None:
    for index, region in enumerate(board.memory):
        key = f"memory[{index}]"
        if not _NAME.match(region.name):
            raise ConfigError(f"{path}: {key}.name must be letters, digits and _")
        if region.kind not in _MEMORY_KINDS:
            raise ConfigError(f"{path}: {key}.kind must be one of {', '.join(_MEMORY_KINDS)}")
        if region.bytes == 0:
            raise ConfigError(f"{path}: {key}.bytes must not be 0")
        if region.origin + region.bytes > _ADDRESSES:
            raise ConfigError(f"{path}: {key} ends beyond the addresses of any CPU")
        for other in board.memory[:index]:
            if other.name == region.name:
                raise ConfigError(f"{path}: {key}.name {region.name!r} is used twice")
            apart = (
                other.origin + other.bytes <= region.origin
                or region.origin + region.bytes <= other.origin
            )
            if not apart:
                raise ConfigError(f"{path}: {key} ({region.name}) overlaps {other.name}")
    if board.memory and not board.memory_bytes("ram"):
        raise ConfigError(f"{path}: memory has no region of kind ram")


def _check_emulator(emulator: Emulator, path: Path) -> None:
    if emulator.kind not in (QEMU, SIMAVR):
        raise ConfigError(f"{path}: emulator.kind must be one of {QEMU}, {SIMAVR}")
    if (emulator.kind == SIMAVR) != bool(emulator.clock_hz):
        raise ConfigError(
            f"{path}: emulator.clock_hz goes with the kind {SIMAVR}",
            cure="give such an emulator the speed of the CPU, and no other one",
        )
    if emulator.kind == SIMAVR and emulator.arguments:
        raise ConfigError(f"{path}: emulator.arguments: {SIMAVR} takes none")
