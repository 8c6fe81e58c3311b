"""The memory that a model may be given: pools of workspace, and pools of constants.

A pool is written as `name=dtcm,size=64K,read_bandwidth=8`, or as a table of a TOML file:

    [[workspace_pools]]
    name = "dtcm"
    size = "64K"
    [[constant_pools]]
    name = "itcm"

The keys are those of TVM's unified static memory planner, without the units in their names.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_microtvm.compiler.naming import RESERVED
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.mlf.element_types import ALIGNMENT_BYTES

if TYPE_CHECKING:
    from pytest_microtvm.boards import Board

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

DEFAULT_POOL = "workspace"
"""The pool of a model that is given none."""

BOARD = "board"
"""Stands for the regions of the board's RAM, where pools are named."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*\Z")
_SECTION = re.compile(r"\.?[A-Za-z_][A-Za-z0-9_.]*\Z")
_SIZE = re.compile(r"([0-9]+)\s*([KMG]?)(?:i?B)?\Z", re.IGNORECASE)
_MULTIPLES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_MAX_SIZE_BYTES = (1 << 32) - ALIGNMENT_BYTES
_MAX_NAME_LENGTH = 40
_MAX_POOLS = 16
_TAKEN = ("state", "graph", "devices")
_BOOLEANS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_USUAL_BURST_BYTES = 16


@dataclass(frozen=True)
class PoolInfo:
    """What is known of a memory; all but the name may be left out.

    Args:
        name: Its member in `struct tvmgen_NAME_workspace_pools`, and in macros.
        size_hint_bytes: How much of it the model may take; None for as much as it needs.
        clock_frequency_hz: The clock that the cycles below are of.
        read_bandwidth_bytes_per_cycle: Of a burst, once it goes.
        write_bandwidth_bytes_per_cycle: Likewise.
        read_latency_cycles: Before a burst goes.
        write_latency_cycles: Likewise.
        target_burst_bytes: The length of a burst.
        section: The linker section that its attribute macro names; one of its own when empty.
    """

    name: str
    size_hint_bytes: int | None = None
    clock_frequency_hz: int | None = None
    read_bandwidth_bytes_per_cycle: int | None = None
    write_bandwidth_bytes_per_cycle: int | None = None
    read_latency_cycles: int | None = None
    write_latency_cycles: int | None = None
    target_burst_bytes: int | None = None
    section: str = ""

    def __post_init__(self) -> None:
        if not _NAME.match(self.name) or len(self.name) > _MAX_NAME_LENGTH:
            raise ConfigError(
                f"{self.name[:80]!r} is no name of a pool",
                cure=f"use at most {_MAX_NAME_LENGTH} letters and digits with single underscores "
                "between them, a letter first",
            )
        if self.name.lower() in _TAKEN or self.name in RESERVED:
            raise ConfigError(f"a pool cannot be called {self.name!r}", cure="choose another name")
        if self.section and not _SECTION.match(self.section):
            raise ConfigError(
                f"the pool {self.name} has the section {self.section!r}",
                cure="name a section with letters, digits, dots and underscores, as .dtcm",
            )
        for key, value in self.properties.items():
            least = 0 if "latency" in key else ALIGNMENT_BYTES if "size" in key else 1
            if not least <= value <= _MAX_SIZE_BYTES:
                raise ConfigError(
                    f"the pool {self.name} has {key} {value}",
                    cure=f"give a number from {least} to {_MAX_SIZE_BYTES}",
                )

    @property
    def properties(self) -> dict[str, int]:
        """What of its properties is known, by TVM's names."""
        found = {key: getattr(self, key) for key in _PROPERTIES}
        return {key: value for key, value in found.items() if value is not None}

    @property
    def seconds_per_byte(self) -> float | None:
        """What it takes to read a byte and to write it, in cycles where no clock is known.

        None where the bandwidth is not known.
        """
        bandwidths = (self.read_bandwidth_bytes_per_cycle, self.write_bandwidth_bytes_per_cycle)
        known = [bandwidth for bandwidth in bandwidths if bandwidth is not None]
        if not known:
            return None
        burst = self.target_burst_bytes or _USUAL_BURST_BYTES
        latencies = (self.read_latency_cycles or 0) + (self.write_latency_cycles or 0)
        cycles = latencies + sum(burst / (each or known[0]) for each in bandwidths)
        return cycles / burst / (self.clock_frequency_hz or 1)


@dataclass(frozen=True)
class WorkspacePoolInfo(PoolInfo):
    """Memory for tensors between kernels, and for what kernels need besides.

    Args:
        internal: It is a static array in the model's library: the application gives no memory.
    """

    internal: bool = False


@dataclass(frozen=True)
class ConstantPoolInfo(PoolInfo):
    """Memory for constants, which the application fills before the first run."""


@dataclass(frozen=True)
class Memory:
    """The memory of one model.

    Args:
        pools: For tensors and kernel workspaces; none for one pool without a limit, which the
            application gives. A tensor is in the fastest pool that has room for it.
        constant_pools: For constants; what is not in one of them is in flash.
        io_pool: The workspace pool that inputs and outputs are in, so that a run takes only the
            pools; empty for memory of their own.
        regions: Take the board's regions of RAM as further pools.
    """

    pools: tuple[WorkspacePoolInfo, ...] = ()
    constant_pools: tuple[ConstantPoolInfo, ...] = ()
    io_pool: str = ""
    regions: bool = False

    def on(self, board: Board | None) -> Memory:
        """The same with the regions of a board, where they were asked for.

        Raises:
            ConfigError: They were, and there is no board, or it names no memory.
        """
        if not self.regions:
            return self
        found = [region for region in board.memory if region.kind == "ram"] if board else []
        if not found:
            raise ConfigError(
                "no board is named whose regions of RAM the pools could be"
                if board is None
                else f"the board {board.name} names no regions of RAM",
                cure="name the pools one by one, as name=dtcm,size=64K",
            )
        pools = tuple(
            WorkspacePoolInfo(
                region.name,
                region.bytes,
                read_bandwidth_bytes_per_cycle=region.read_bandwidth or None,
                write_bandwidth_bytes_per_cycle=region.write_bandwidth or None,
                read_latency_cycles=region.read_latency or None,
                write_latency_cycles=region.write_latency or None,
            )
            for region in found
        )
        return replace(self, pools=(*self.pools, *pools), regions=False)

    def without_constants(self, taken_bytes: Mapping[str, int]) -> Memory:
        """The same with what is left of pools of constants, of which something was taken."""
        left = []
        for pool in self.constant_pools:
            limit = pool.size_hint_bytes
            if limit is not None:
                limit -= taken_bytes.get(pool.name, 0)
                if limit < ALIGNMENT_BYTES:
                    continue
            left.append(replace(pool, size_hint_bytes=limit))
        return replace(self, constant_pools=tuple(left))

    def check(self) -> None:
        """Refuse pools that cannot be together.

        Raises:
            ConfigError: Two have one name, whatever the letter case; there are too many;
                `io_pool` is none of them; or no board has said which its regions are.
        """
        self.on(None)
        given = self.pools or (WorkspacePoolInfo(DEFAULT_POOL),)
        names = [pool.name for pool in (*given, *self.constant_pools)]
        if len(names) > _MAX_POOLS:
            raise ConfigError(f"{len(names)} pools are given", cure=f"give at most {_MAX_POOLS}")
        lower = [name.lower() for name in names]
        for name in names:
            if lower.count(name.lower()) > 1:
                raise ConfigError(f"two pools are called {name!r}", cure="give each its own name")
        known = [pool.name for pool in given]
        if self.io_pool and self.io_pool not in known:
            raise ConfigError(
                f"there is no workspace pool {self.io_pool!r} for inputs and outputs",
                cure=f"name one of {', '.join(known)}",
            )


_PROPERTIES = tuple(
    field.name for field in fields(PoolInfo) if field.name not in ("name", "section")
)
_KEYS = {"size": "size_hint_bytes", "burst": "target_burst_bytes", "clock": "clock_frequency_hz"}
_KEYS |= {"read_bandwidth": "read_bandwidth_bytes_per_cycle"}
_KEYS |= {"write_bandwidth": "write_bandwidth_bytes_per_cycle"}
_KEYS |= {"read_latency": "read_latency_cycles", "write_latency": "write_latency_cycles"}
_SHORT = {long: short for short, long in _KEYS.items()}

_Pool = TypeVar("_Pool", bound=PoolInfo)


def parse_pool(text: str, kind: type[_Pool]) -> _Pool:
    """A pool as it is written on a command line: `name=dtcm,size=64K`.

    Args:
        text: Keys and values; sizes may end in K, M or G.
        kind: `WorkspacePoolInfo` or `ConstantPoolInfo`.

    Raises:
        ConfigError: It is written in another way, or has a key that a pool has not.
    """
    table: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals or key in table:
            what = "is no KEY=VALUE" if not equals else "is there twice"
            raise ConfigError(
                f"{part!r} {what} in the pool {text!r}", cure="write name=dtcm,size=64K"
            )
        table[key] = value
    return _pool_of(table, kind, f"the pool {text!r}")


def read_pools(path: Path) -> tuple[tuple[WorkspacePoolInfo, ...], tuple[ConstantPoolInfo, ...]]:
    """The pools of a TOML file: those of workspace, and those of constants.

    Raises:
        ConfigError: The file cannot be read, or is written in another way.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", cure="check its path") from error
    except (ValueError, RecursionError) as error:  # TOML or UTF-8
        raise ConfigError(f"{path} is no TOML file: {error}", cure="correct it") from error
    known = {"workspace_pools": WorkspacePoolInfo, "constant_pools": ConstantPoolInfo}
    for key, tables in document.items():
        if key not in known or not isinstance(tables, list):
            raise ConfigError(
                f"{path}: {key} is no list of pools",
                cure="write tables [[workspace_pools]] and [[constant_pools]]",
            )
    where = str(path)
    return (
        tuple(_pool_of(t, WorkspacePoolInfo, where) for t in document.get("workspace_pools", ())),
        tuple(_pool_of(t, ConstantPoolInfo, where) for t in document.get("constant_pools", ())),
    )


def written_pool(pool: PoolInfo) -> str:
    """A pool as `parse_pool` reads it."""
    words = [f"name={pool.name}"]
    words += [f"{_SHORT[key]}={value}" for key, value in pool.properties.items()]
    words += [f"section={pool.section}"] if pool.section else []
    if isinstance(pool, WorkspacePoolInfo) and pool.internal:
        words.append("internal=yes")
    return ",".join(words)


def parse_memory(
    texts: Iterable[str], constant_texts: Iterable[str] = (), io_pool: str = ""
) -> Memory:
    """Pools as a command line or an ini file gives them.

    Args:
        texts: Each a pool of workspace, the name of a TOML file with pools of both kinds, or
            "board" for the board's regions of RAM.
        constant_texts: Each a pool of constants.
        io_pool: The pool of inputs and outputs, or empty.

    Raises:
        ConfigError: One of them is written in another way.
    """
    workspaces: list[WorkspacePoolInfo] = []
    constants = [parse_pool(text, ConstantPoolInfo) for text in constant_texts]
    regions = False
    for text in texts:
        if text == BOARD:
            regions = True
        elif "=" not in text and text.lower().endswith(".toml"):
            more, more_constants = read_pools(Path(text))
            workspaces += more
            constants += more_constants
        else:
            workspaces.append(parse_pool(text, WorkspacePoolInfo))
    return Memory(tuple(workspaces), tuple(constants), io_pool, regions)


def fastest_first(pools: Sequence[_Pool]) -> list[_Pool]:
    """The pools by what reading and writing them takes; those of which that is not known last.

    Pools that are equal stay in the order in which they were given.
    """
    known = {pool.name: pool.seconds_per_byte for pool in pools}
    return sorted(pools, key=lambda pool: _infinite_if_none(known[pool.name]))


def parse_size(text: str | int) -> int:
    """A number of bytes, as 65536 or 64K.

    Raises:
        ConfigError: It is no such number.
    """
    found = _SIZE.match(str(text).strip())
    if found is None or isinstance(text, bool):
        raise ConfigError(f"{text!r} is no size", cure="write a number of bytes, as 65536 or 64K")
    return int(found[1]) * _MULTIPLES[found[2].upper()]


def _infinite_if_none(value: float | None) -> float:
    return float("inf") if value is None else value


def _pool_of(table: Any, kind: type[_Pool], where: str) -> _Pool:
    """A pool of keys and values, which may be text."""
    if not isinstance(table, Mapping) or "name" not in table:
        raise ConfigError(f"{where} has a pool without a name", cure="give it one, as name=dtcm")
    fields_by_name = {field.name for field in fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = _KEYS.get(key, key)
        if name not in fields_by_name or name in values:
            known = [_SHORT.get(each, each) for each in sorted(fields_by_name)]
            raise ConfigError(
                f"{where} has the key {key!r}", cure=f"use each of {', '.join(known)} once"
            )
        values[name] = _value_of(name, value, where)
    return kind(**values)


def _value_of(name: str, value: Any, where: str) -> Any:
    if name in ("name", "section"):
        return str(value)
    if name == "internal":
        found = _BOOLEANS.get(str(value).lower())
        if found is None:
            raise ConfigError(f"{where} has internal={value}", cure="write internal=yes or no")
        return found
    try:
        return parse_size(value)
    except ConfigError as error:
        raise ConfigError(
            f"{where} has the {_SHORT.get(name, name)} {value!r}", cure=error.cure
        ) from error
