"""Places every intermediate tensor and kernel workspace in the pools of a model.

A block of memory lives from the first call that touches it to the last. Blocks whose lives overlap
must not share bytes; all others may. Where a kernel works in place and its input is not read again,
input and output are one block; where it goes through both in one direction, they may share memory,
one some way behind the other. `placement` says where blocks go.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_microtvm.compiler.constant_planning import PlannedConstants
from pytest_microtvm.compiler.placement import (
    UNLIMITED,
    Block,
    Shift,
    check,
    least_arena_bytes,
    place,
    pool_sizes,
)
from pytest_microtvm.compiler.pools import DEFAULT_POOL, WorkspacePoolInfo, fastest_first
from pytest_microtvm.compiler.program import (
    CopyCall,
    Program,
    Storage,
    StorageKind,
)
from pytest_microtvm.errors import DoesNotFit
from pytest_microtvm.mlf.element_types import ALIGNMENT_BYTES


@dataclass(frozen=True)
class PlannedPool:
    """A pool, and what the plan takes of it.

    Args:
        info: As it was given.
        offset: Where it begins in an arena that has all pools one after the other.
        size_bytes: How much the plan takes, a multiple of the alignment.
        bound_bytes: What of its blocks is alive at once, at the most: no plan that puts the same
            blocks here could take less.
    """

    info: WorkspacePoolInfo
    offset: int
    size_bytes: int
    bound_bytes: int


@dataclass(frozen=True)
class MemoryPlan:
    """Where everything is.

    Offsets are those in an arena that has all pools one after the other; `place_of` tells the pool.

    Args:
        arena_bytes: Size of all pools together, a multiple of the alignment.
        storage_offsets: Offset in bytes by the `index` of an arena storage.
        workspace_offsets: Offset in bytes by the position of the call.
        input_offsets: Where the inputs may be, when the arena has room for them.
        output_offsets: Where the outputs may be, likewise.
        pools: In the order in which they were given.
        io_pool: The name of the pool that inputs and outputs have to be in; empty if they need not
            be in any.
        constant_pools: Constants that are elsewhere than in flash.
    """

    arena_bytes: int
    storage_offsets: dict[int, int]
    workspace_offsets: dict[int, int]
    input_offsets: tuple[int, ...] = ()
    output_offsets: tuple[int, ...] = ()
    pools: tuple[PlannedPool, ...] = ()
    io_pool: str = ""
    constant_pools: tuple[PlannedConstants, ...] = ()

    def place_of(self, offset: int) -> tuple[PlannedPool, int]:
        """The pool that an offset is in, and the offset from its start."""
        for pool in self.pools:
            if pool.offset <= offset < pool.offset + pool.size_bytes:
                return pool, offset - pool.offset
        raise AssertionError(f"there is nothing at {offset}")

    def constant_place(self, number: int) -> tuple[PlannedConstants, int] | None:
        """The pool of a constant, and the offset from its start; None of one in flash."""
        for pool in self.constant_pools:
            if number in pool.offsets:
                return pool, pool.offsets[number]
        return None


def plan_memory(
    program: Program,
    io_in_arena: bool = False,
    pools: Sequence[WorkspacePoolInfo] = (),
    io_pool: str = "",
) -> MemoryPlan:
    """Plan the memory of `program`, whose kernels must be known.

    Args:
        program: The lowered model.
        io_in_arena: Leave room for the inputs and outputs, too: an input is kept until it was read
            for the last time, an output from when it is first written.
        pools: What there is; none for one pool without a limit.
        io_pool: The name of the pool that inputs and outputs are in, if they are in one.

    Raises:
        DoesNotFit: The pools have no room for all.
    """
    pools = tuple(pools) or (WorkspacePoolInfo(DEFAULT_POOL),)
    ranked = fastest_first(pools)
    ends: list[int] = []
    for pool in ranked:
        size_bytes = pool.size_hint_bytes or UNLIMITED
        ends.append((ends[-1] if ends else 0) + size_bytes // ALIGNMENT_BYTES * ALIGNMENT_BYTES)
    io_number = next((i for i, pool in enumerate(ranked) if pool.name == io_pool), None)
    lives = _lives(program, io_in_arena or bool(io_pool), io_number)
    owners = _owners(program, lives)
    keys = [key for key in lives if owners[key] == key]
    blocks = []
    for key in keys:
        shared = [lives[other] for other in lives if owners[other] == key]
        blocks.append(
            Block(
                max(block.size_bytes for block in shared),
                min(block.first for block in shared),
                max(block.last for block in shared),
                lives[key].pool,
            )
        )
    workspaces = [
        (position, size_bytes)
        for position, call in enumerate(program.calls)
        if (size_bytes := program.workspace_bytes(call))
    ]
    blocks += [Block(size_bytes, position, position) for position, size_bytes in workspaces]
    numbers = {key: keys.index(owners[key]) for key in lives}
    shifts = _shifts(program, lives, numbers, blocks)
    places = place(blocks, ends, shifts)
    sizes = pool_sizes(blocks, places, ends)
    if sizes[-1]:
        raise _no_room(least_arena_bytes(blocks, shifts), pools, sizes[-1])
    order = [ranked.index(pool) for pool in pools]
    planned, offsets = _in_arena(blocks, places, ends, order, shifts)
    by_owner = dict(zip(keys, offsets, strict=False))
    found = {key: by_owner[owners[key]] for key in lives}

    def of_kind(kind: StorageKind) -> dict[int, int]:
        return {
            index: offset for (found_kind, index), offset in found.items() if found_kind is kind
        }

    inputs, outputs = of_kind(StorageKind.INPUT), of_kind(StorageKind.OUTPUT)
    return MemoryPlan(
        sum(size_bytes for _, size_bytes, _ in planned),
        of_kind(StorageKind.ARENA),
        {item[0]: offset for item, offset in zip(workspaces, offsets[len(keys) :], strict=True)},
        tuple(inputs[index] for index in sorted(inputs)),
        tuple(outputs[index] for index in sorted(outputs)),
        tuple(PlannedPool(pool, *each) for pool, each in zip(pools, planned, strict=True)),
        io_pool,
    )


def _in_arena(
    blocks: Sequence[Block],
    places: Sequence[int],
    ends: Sequence[int],
    order: Sequence[int],
    shifts: Sequence[Shift],
) -> tuple[list[tuple[int, int, int]], list[int]]:
    """What was placed in pools, in an arena that has just what these take, in another order.

    Args:
        blocks: What was placed.
        places: Where.
        ends: Of the pools.
        order: The numbers of the pools, in the order that they get.
        shifts: Which blocks may share bytes while both are alive.

    Returns:
        For each pool where it begins, its size, and what of it is alive at once; the offset of each
        block.
    """
    ranks = [bisect.bisect_right(ends, offset) for offset in places]
    starts = [0, *ends]
    sizes = pool_sizes(blocks, places, ends)
    planned = []
    base = 0
    offsets = [0] * len(blocks)
    for number in order:
        mine = [i for i, rank in enumerate(ranks) if rank == number]
        within = [blocks[i] for i in mine]
        local = [places[i] - starts[number] for i in mine]
        among = [
            Shift(mine.index(shift.before), mine.index(shift.behind), shift.distance_bytes)
            for shift in shifts
            if ranks[shift.before] == ranks[shift.behind] == number
        ]
        check(within, local, min(sizes[number], ends[number] - starts[number]), among)
        for i, offset in zip(mine, local, strict=True):
            offsets[i] = base + offset
        planned.append((base, sizes[number], least_arena_bytes(within, among)))
        base += sizes[number]
    return planned, offsets


def _no_room(
    needed_bytes: int, pools: Sequence[WorkspacePoolInfo], missing_bytes: int
) -> DoesNotFit:
    limits = [f"{pool.name} {pool.size_hint_bytes}" for pool in pools if pool.size_hint_bytes]
    return DoesNotFit(
        f"the pools have too little room ({', '.join(limits)} bytes): "
        f"{needed_bytes} bytes are in use at once",
        cure=f"give one of them {missing_bytes} bytes more, or add a pool without a size",
    )


_Key = tuple[StorageKind, int]


def _lives(program: Program, io_in_arena: bool, io_number: int | None) -> dict[_Key, Block]:
    """What has a place in the arena, and when it is alive."""
    lives: dict[_Key, Block] = {}
    if io_in_arena:
        for index, port in enumerate(program.model_inputs):
            lives[StorageKind.INPUT, index] = Block(port.type.size_bytes, -1, -1, io_number)
    planned = {StorageKind.ARENA}
    if io_in_arena:
        planned |= {StorageKind.INPUT, StorageKind.OUTPUT}
    states = {
        key
        for number in range(len(program.states))
        for key in (
            (StorageKind.INPUT, len(program.model_inputs) + number),
            (StorageKind.OUTPUT, len(program.model_outputs) + number),
        )
    }
    for position, call in enumerate(program.calls):
        for storage in program.storages(call):
            if storage.kind in planned and (storage.kind, storage.index) not in states:
                key = (storage.kind, storage.index)
                first = lives[key].first if key in lives else position
                pool = None if storage.kind is StorageKind.ARENA else io_number
                lives[key] = Block(storage.size_bytes, first, position, pool)
    for index, port in enumerate(program.model_outputs if io_in_arena else ()):
        key = (StorageKind.OUTPUT, index)
        lives[key] = Block(port.type.size_bytes, lives[key].first, len(program.calls), io_number)
    return lives


def _owners(program: Program, lives: Mapping[_Key, Block]) -> dict[_Key, _Key]:
    """For each storage the one whose memory it has: an input's, where a kernel works in place."""
    owners = {key: key for key in lives}
    for position, call in enumerate(program.calls):
        if isinstance(call, CopyCall):
            continue
        for source in program.kernels[call.kernel].in_place:
            read, written = call.arguments[source], call.arguments[-1]
            if not isinstance(read, Storage) or not isinstance(written, Storage):
                continue
            keys = (read.kind, read.index), (written.kind, written.index)
            are_intermediate = all(kind is StorageKind.ARENA for kind, _ in keys)
            if (
                are_intermediate
                and keys[0] != keys[1]
                and call.arguments.count(read) == 1
                and lives[keys[0]].last == position == lives[keys[1]].first
            ):
                owners[keys[1]] = owners[keys[0]]
                break
    return owners


def _shifts(
    program: Program,
    lives: Mapping[_Key, Block],
    numbers: Mapping[_Key, int],
    blocks: Sequence[Block],
) -> list[Shift]:
    """What may share memory while a kernel reads the one and writes the other.

    Args:
        program: The lowered model.
        lives: When each storage is alive.
        numbers: By storage, the number of its block.
        blocks: What is placed.
    """
    shifts = []
    for position, call in enumerate(program.calls):
        if isinstance(call, CopyCall):
            continue
        for overlap in program.kernels[call.kernel].overlaps:
            read, written = call.arguments[overlap.input], call.arguments[-1]
            if not isinstance(read, Storage) or not isinstance(written, Storage):
                continue
            source, target = (read.kind, read.index), (written.kind, written.index)
            if (
                not {source, target} <= lives.keys()
                or numbers[source] == numbers[target]
                or call.arguments.count(read) > 1
                or blocks[numbers[source]].last != position
                or blocks[numbers[target]].first != position
            ):
                continue
            pair = (numbers[target], numbers[source])
            before, behind = pair[::-1] if overlap.is_behind else pair
            shifts.append(Shift(before, behind, overlap.distance_bytes))
    return shifts
