"""Places every intermediate tensor and kernel workspace in the pools of a model.

A block of memory lives from the first call that touches it to the last. Blocks whose lives overlap
must not share bytes; all others may. Where a kernel works in place and its input is not read again,
input and output are one block.

For placing, the pools lie one after the other, the fastest first, and no block lies across the end
of one. Blocks are placed in turn, each at the lowest offset that is free among those it overlaps in
time: so it is in the fastest pool that has room. What comes out depends on their order: the largest
first is near the optimum on networks. No arena can be smaller than what is alive at once; where the
first order needs more, or has blocks in slower pools, others are tried, a limited number of them
and always the same ones.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_microtvm.compiler.constant_planning import PlannedConstants
from pytest_microtvm.compiler.pools import DEFAULT_POOL, WorkspacePoolInfo, fastest_first
from pytest_microtvm.compiler.program import (
    CopyCall,
    Program,
    Storage,
    StorageKind,
    align_up,
)
from pytest_microtvm.errors import DoesNotFit
from pytest_microtvm.mlf.element_types import ALIGNMENT_BYTES

_UNLIMITED = 1 << 40
"""The end of a pool that has none."""

_MAX_TRIALS = 300
"""Orders of blocks that are tried beyond the first,"""

_MAX_COMPARISONS = 3_000_000
"""but fewer of many blocks: each order compares every block with every other."""


@dataclass(frozen=True)
class Block:
    """Memory wanted from call `first` to call `last`, both included.

    Args:
        size_bytes: How much.
        first: Position of a call.
        last: Position of a call.
        pool: The number of the only pool that it may be in, the fastest being 0; None for any.
    """

    size_bytes: int
    first: int
    last: int
    pool: int | None = None

    def overlaps(self, other: Block) -> bool:
        """Whether both are alive during some call."""
        return self.first <= other.last and other.first <= self.last


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


def place(blocks: Sequence[Block], ends: Sequence[int] = (_UNLIMITED,)) -> list[int]:
    """Offsets in bytes of `blocks`, each a multiple of `ALIGNMENT_BYTES`.

    The result depends on the blocks and their order only. What finds no room is beyond the last
    end.

    Args:
        blocks: What to place.
        ends: Where each pool ends, from the fastest on, each being behind the one before.
    """
    bound = (0, 0, least_arena_bytes(blocks))
    order = sorted(
        range(len(blocks)),
        key=lambda i: (blocks[i].pool is None, -blocks[i].size_bytes, blocks[i].first, i),
    )
    offsets = place_in_order(blocks, order, ends)
    best = _cost(blocks, offsets, ends)
    source = random.Random(0)
    for _ in range(min(_MAX_TRIALS, _MAX_COMPARISONS // max(1, len(blocks)) ** 2)):
        if best <= bound:
            break
        trial = list(order)
        first, second = source.randrange(len(trial)), source.randrange(len(trial))
        trial[first], trial[second] = trial[second], trial[first]
        trial_offsets = place_in_order(blocks, trial, ends)
        cost = _cost(blocks, trial_offsets, ends)
        # An order that is no worse may be a step towards a better one.
        if cost <= best:
            order, offsets, best = trial, trial_offsets, cost
    return offsets


def place_in_order(
    blocks: Sequence[Block], order: Sequence[int], ends: Sequence[int] = (_UNLIMITED,)
) -> list[int]:
    """Offsets in bytes when blocks are placed in the given order, each as low as it can be."""
    offsets = [0] * len(blocks)
    placed: list[int] = []
    for current in order:
        block = blocks[current]
        taken = [
            (offsets[other], offsets[other] + align_up(blocks[other].size_bytes))
            for other in placed
            if block.overlaps(blocks[other])
        ]
        taken = sorted([*taken, *((end, end) for end in ends)])
        start, end = _window(block, ends)
        offset = _lowest(block.size_bytes, taken, start)
        if offset + block.size_bytes > end:
            offset = _lowest(block.size_bytes, taken, ends[-1])
        offsets[current] = offset
        placed.append(current)
    return offsets


def _window(block: Block, ends: Sequence[int]) -> tuple[int, int]:
    """Where a block may be."""
    if block.pool is None:
        return 0, ends[-1]
    return (ends[block.pool - 1] if block.pool else 0), ends[block.pool]


def _lowest(size_bytes: int, taken: Sequence[tuple[int, int]], offset: int) -> int:
    """The lowest offset from `offset` on that has room between what is taken."""
    for start, end in taken:
        if offset + size_bytes <= start:
            break
        offset = max(offset, end)
    return offset


def _cost(
    blocks: Sequence[Block], offsets: Sequence[int], ends: Sequence[int]
) -> tuple[int, int, int]:
    """Bytes without room, bytes in slower pools (by how many are faster), and of all pools."""
    homeless = spilled = 0
    for block, offset in zip(blocks, offsets, strict=True):
        rank = bisect.bisect_right(ends, offset)
        if rank == len(ends):
            homeless += block.size_bytes
        elif block.pool is None:
            spilled += rank * block.size_bytes
    return homeless, spilled, sum(_pool_sizes(blocks, offsets, ends))


def _pool_sizes(blocks: Sequence[Block], offsets: Sequence[int], ends: Sequence[int]) -> list[int]:
    """What is taken of each pool, and last, of the room beyond them."""
    sizes = [0] * (len(ends) + 1)
    starts = [0, *ends]
    for block, offset in zip(blocks, offsets, strict=True):
        rank = bisect.bisect_right(ends, offset)
        sizes[rank] = max(sizes[rank], align_up(offset + block.size_bytes - starts[rank]))
    return sizes


def arena_bytes(blocks: Sequence[Block], offsets: Sequence[int]) -> int:
    """The size of the arena that a placement needs, a multiple of the alignment."""
    ends = (offset + block.size_bytes for block, offset in zip(blocks, offsets, strict=True))
    return align_up(max(ends, default=0))


def least_arena_bytes(blocks: Sequence[Block]) -> int:
    """What is alive at once at the worst moment: no arena can be smaller."""
    return max(
        (
            sum(align_up(b.size_bytes) for b in blocks if b.first <= moment.first <= b.last)
            for moment in blocks
        ),
        default=0,
    )


def check(blocks: Sequence[Block], offsets: Sequence[int], arena_bytes: int) -> None:
    """Verify a placement independently of how it was made.

    Raises:
        AssertionError: Two blocks alive at once share bytes, or one is misaligned or outside of
            the arena: a fault of the planner, never of the model.
    """
    for block, offset in zip(blocks, offsets, strict=True):
        if offset % ALIGNMENT_BYTES or offset < 0 or offset + block.size_bytes > arena_bytes:
            raise AssertionError(f"{block} at {offset} does not fit an arena of {arena_bytes}")
    order = sorted(range(len(blocks)), key=lambda i: blocks[i].first)
    alive: list[int] = []
    for current in order:
        alive = [other for other in alive if blocks[other].last >= blocks[current].first]
        start, end = offsets[current], offsets[current] + blocks[current].size_bytes
        for other in alive:
            if start < offsets[other] + blocks[other].size_bytes and offsets[other] < end:
                raise AssertionError(f"{blocks[current]} and {blocks[other]} share bytes")
        alive.append(current)


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
        size_bytes = pool.size_hint_bytes or _UNLIMITED
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
    places = place(blocks, ends)
    sizes = _pool_sizes(blocks, places, ends)
    if sizes[-1]:
        raise _no_room(blocks, pools, sizes[-1])
    planned, offsets = _in_arena(blocks, places, ends, [ranked.index(pool) for pool in pools])
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
    blocks: Sequence[Block], places: Sequence[int], ends: Sequence[int], order: Sequence[int]
) -> tuple[list[tuple[int, int, int]], list[int]]:
    """What was placed in pools, in an arena that has just what these take, in another order.

    Args:
        blocks: What was placed.
        places: Where.
        ends: Of the pools.
        order: The numbers of the pools, in the order that they get.

    Returns:
        For each pool where it begins, its size, and what of it is alive at once; the offset of each
        block.
    """
    ranks = [bisect.bisect_right(ends, offset) for offset in places]
    starts = [0, *ends]
    sizes = _pool_sizes(blocks, places, ends)
    planned = []
    base = 0
    offsets = [0] * len(blocks)
    for number in order:
        mine = [i for i, rank in enumerate(ranks) if rank == number]
        within = [blocks[i] for i in mine]
        local = [places[i] - starts[number] for i in mine]
        check(within, local, min(sizes[number], ends[number] - starts[number]))
        for i, offset in zip(mine, local, strict=True):
            offsets[i] = base + offset
        planned.append((base, sizes[number], least_arena_bytes(within)))
        base += sizes[number]
    return planned, offsets


def _no_room(
    blocks: Sequence[Block], pools: Sequence[WorkspacePoolInfo], missing_bytes: int
) -> DoesNotFit:
    limits = [f"{pool.name} {pool.size_hint_bytes}" for pool in pools if pool.size_hint_bytes]
    return DoesNotFit(
        f"the pools have too little room ({', '.join(limits)} bytes): "
        f"{least_arena_bytes(blocks)} bytes are in use at once",
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
                and read.size_bytes == written.size_bytes
            ):
                owners[keys[1]] = owners[keys[0]]
                break
    return owners
