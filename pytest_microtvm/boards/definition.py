"""Board definitions: what a board is, read from `NAME.toml` files.

A definition holds facts about a board and how its firmware is made; nothing here touches a device.
The keys are those of the dataclasses below, in tables of the same names; docs/porting.md explains
them. A key that no dataclass has is refused.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import re
import sys
import types
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.extensions import CPU_EXTENSIONS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

ENTRY_POINT_GROUP = "pytest_microtvm.boards"

_PACKAGE = Path(__file__).absolute().parents[1]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_MEMORY_KINDS = ("flash", "ram")
_RESET_LINES = ("dtr", "rts")


@dataclasses.dataclass(frozen=True)
class Cpu:
    """The processor.

    `arch` is its family ("i386", "arm", "riscv32", "host"), `core` what it is exactly. `startup`
    names the start-up code of the platform, where that is not called like `arch` ("cortex_m").
    `simd` names the vector instructions that kernels over int8 may use: "none", "dsp", "helium", or
    what an installed package adds.
    """

    arch: str
    startup: str = ""
    core: str = ""
    fpu: str = ""
    float_abi: str = ""
    simd: str = "none"


@dataclasses.dataclass(frozen=True)
class MemoryRegion:
    """A region of memory: `kind` is "flash" (code and constants) or "ram"; origin is an address."""

    name: str
    kind: str
    origin: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class Toolchain:
    """The C compiler: `prefix` + "gcc", and what it needs.

    `includes` are the C library's header folders, used in place of the compiler's own; `libraries`
    are archives by path, or by name ("-lm") where the compiler knows the way. `install` is the
    command that installs it all.
    """

    prefix: str = ""
    flags: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    install: str = ""


@dataclasses.dataclass(frozen=True)
class Firmware:
    """Memory the firmware sets aside beside the model: its stack, and one packet of the link."""

    stack_bytes: int = 16384
    packet_bytes: int = 4096


@dataclasses.dataclass(frozen=True)
class Uart:
    """The serial port of the link: its driver, base address or port, and speed.

    `interrupt` is the number of its interrupt, for the CPU to sleep until bytes arrive; without it,
    the firmware polls. `clock_hz` is the rate of the clock that the speed is divided from. `reset`
    names the modem line ("dtr" or "rts") that resets a real board.
    """

    driver: str
    base: int
    baud: int = 115200
    interrupt: int | None = None
    clock_hz: int | None = None
    reset: str = ""


@dataclasses.dataclass(frozen=True)
class Timer:
    """The timer that measures the model: its driver, base address, and ticks per second.

    `emulator_hz` is its rate in the emulator, where that is another and the driver can tell.
    """

    driver: str
    base: int
    hz: int
    emulator_hz: int | None = None


@dataclasses.dataclass(frozen=True)
class Setup:
    """A 32-bit register that is set before any driver starts, for a clock or a pin's function, say.

    The bits of `clear` are cleared, then those of `set` are set.
    """

    address: int
    set: int
    clear: int = 0


@dataclasses.dataclass(frozen=True)
class Emulator:
    """The program that stands for the board; `install` is the command that installs it."""

    program: str
    machine: str
    arguments: tuple[str, ...] = ()
    install: str = ""


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
class Board:
    """A board.

    Attributes:
        name: What users call it; also the name of its file.
        platform: The platform whose template makes its firmware.
        description: One line for a person.
        target: The TVM target its kernels are compiled for.
        memory: Empty when the board has no limits to keep to.
        timer: None where the CPU has one of its own.
        setup: What a chip needs around its devices, in this order.
        emulator: None for a board that is only real.
        flash: None for a board that is only emulated. One that has both is emulated, unless a lab
            has a real one.
    """

    name: str
    platform: str
    cpu: Cpu
    description: str = ""
    target: str = "c"
    memory: tuple[MemoryRegion, ...] = ()
    toolchain: Toolchain = Toolchain()
    firmware: Firmware = Firmware()
    uart: Uart | None = None
    timer: Timer | None = None
    setup: tuple[Setup, ...] = ()
    emulator: Emulator | None = None
    flash: Flash | None = None

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

    def memory_bytes(self, kind: str) -> int:
        """The bytes of all regions of a kind."""
        return sum(region.bytes for region in self.memory if region.kind == kind)

    def to_json(self) -> str:
        """The definition as JSON; the same board always gives the same text."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"


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
    for directory in (_own_directory(), *_entry_point_directories(), *extra_directories):
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
    except ValueError as exc:  # TOML or UTF-8
        raise ConfigError(f"{path}: not a TOML file: {exc}") from exc
    board = _read_table(Board, table, path, "")
    assert isinstance(board, Board)
    _check(board, path)
    return board


def board_from_json(text: str) -> Board:
    """The definition that `Board.to_json` wrote."""
    board = _read_table(Board, _without_null(json.loads(text)), Path("board.json"), "")
    assert isinstance(board, Board)
    return board


def _without_null(value: Any) -> Any:
    """JSON as TOML would have it: what is None is left out."""
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    return [_without_null(item) for item in value] if isinstance(value, list) else value


def _own_directory() -> Path:
    """The definitions that come with this package: in the wheel, or beside it in a source tree."""
    installed = _PACKAGE / "board_definitions"
    return installed if installed.is_dir() else _PACKAGE.parent / "boards"


def _entry_point_directories() -> Iterable[Path]:
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        try:
            directory = Path(entry_point.load()())
        except Exception as exc:  # another package's code: anything may happen
            raise ConfigError(
                f"boards of {entry_point.value} cannot be found: {exc!r}",
                cure="repair or remove that package",
            ) from exc
        yield directory


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
    if board.name != path.stem:
        raise ConfigError(
            f"{path}: name is {board.name!r}", cure=f"rename the file to {board.name}.toml"
        )
    if board.cpu.simd not in CPU_EXTENSIONS.names():
        raise ConfigError(
            f"{path}: cpu.simd must be one of {', '.join(CPU_EXTENSIONS.names())}",
            cure="correct it, or install the package that adds this CPU extension",
        )
    if board.uart is not None and board.uart.reset not in ("", *_RESET_LINES):
        raise ConfigError(f"{path}: uart.reset must be one of {', '.join(_RESET_LINES)}")
    if board.firmware.packet_bytes < 256:
        raise ConfigError(f"{path}: firmware.packet_bytes must be at least 256")
    for index, region in enumerate(board.memory):
        key = f"memory[{index}]"
        if not _NAME.match(region.name):
            raise ConfigError(f"{path}: {key}.name must be letters, digits and _")
        if region.kind not in _MEMORY_KINDS:
            raise ConfigError(f"{path}: {key}.kind must be one of {', '.join(_MEMORY_KINDS)}")
        if region.bytes == 0:
            raise ConfigError(f"{path}: {key}.bytes must not be 0")
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
