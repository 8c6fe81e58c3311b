"""Places every intermediate tensor and kernel workspace in one arena.

A block of memory lives from the first call that touches it to the last. Blocks whose lives overlap
must not share bytes; all others may. Where a kernel works in place and its input is not read again,
input and output are one block.

Blocks are placed one after the other, each at the lowest offset that is free among those it
overlaps in time. What comes out depends on their order: the largest first is near the optimum on
networks. No arena can be smaller than what is alive at once; where the first order needs more,
others are tried, a limited number of them and always the same ones.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_microtvm.compiler.program import (
    CopyCall,
    Program,
    Storage,
    StorageKind,
    align_up,
)
from pytest_microtvm.mlf.element_types import ALIGNMENT_BYTES

_MAX_TRIALS = 300
"""Orders of blocks that are tried beyond the first,"""

_MAX_COMPARISONS = 3_000_000
"""but fewer of many blocks: each order compares every block with every other."""


@dataclass(frozen=True)
class Block:
    """Memory wanted from call `first` to call `last`, both included."""

    size_bytes: int
    first: int
    last: int

    def overlaps(self, other: Block) -> bool:
        """Whether both are alive during some call."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class MemoryPlan:
    """Where everything is in the arena.

    Args:
        arena_bytes: Size of the arena, a multiple of the alignment.
        storage_offsets: Offset in bytes by the `index` of an arena storage.
        workspace_offsets: Offset in bytes by the position of the call.
        input_offsets: Where the inputs may be, when the arena has room for them.
        output_offsets: Where the outputs may be, likewise.
    """

    arena_bytes: int
    storage_offsets: dict[int, int]
    workspace_offsets: dict[int, int]
    input_offsets: tuple[int, ...] = ()
    output_offsets: tuple[int, ...] = ()


def place(blocks: Sequence[Block]) -> list[int]:
    """Offsets in bytes of `blocks`, each a multiple of `ALIGNMENT_BYTES`.

    The result depends on the blocks and their order only.
    """
    bound = least_arena_bytes(blocks)
    order = sorted(range(len(blocks)), key=lambda i: (-blocks[i].size_bytes, blocks[i].first, i))
    offsets = place_in_order(blocks, order)
    best_bytes = arena_bytes(blocks, offsets)
    source = random.Random(0)
    for _ in range(min(_MAX_TRIALS, _MAX_COMPARISONS // max(1, len(blocks)) ** 2)):
        if best_bytes <= bound:
            break
        trial = list(order)
        first, second = source.randrange(len(trial)), source.randrange(len(trial))
        trial[first], trial[second] = trial[second], trial[first]
        trial_offsets = place_in_order(blocks, trial)
        trial_bytes = arena_bytes(blocks, trial_offsets)
        # An order that is no worse may be a step towards a better one.
        if trial_bytes <= best_bytes:
            order, offsets, best_bytes = trial, trial_offsets, trial_bytes
    return offsets


def place_in_order(blocks: Sequence[Block], order: Sequence[int]) -> list[int]:
    """Offsets in bytes when blocks are placed in the given order, each as low as it can be."""
    offsets = [0] * len(blocks)
    placed: list[int] = []
    for current in order:
        block = blocks[current]
        taken = sorted(
            (offsets[other], offsets[other] + align_up(blocks[other].size_bytes))
            for other in placed
            if block.overlaps(blocks[other])
        )
        offset = 0
        for start, end in taken:
            if offset + block.size_bytes <= start:
                break
            offset = max(offset, end)
        offsets[current] = offset
        placed.append(current)
    return offsets


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


def plan_memory(program: Program, io_in_arena: bool = False) -> MemoryPlan:
    """Plan the arena of `program`, whose kernels must be known.

    Args:
        program: The lowered model.
        io_in_arena: Leave room for the inputs and outputs, too: an input is kept until it was read
            for the last time, an output from when it is first written.
    """
    lives = _lives(program, io_in_arena)
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
            )
        )
    workspaces = [
        (position, size_bytes)
        for position, call in enumerate(program.calls)
        if (size_bytes := program.workspace_bytes(call))
    ]
    blocks += [Block(size_bytes, position, position) for position, size_bytes in workspaces]
    offsets = place(blocks)
    total_bytes = arena_bytes(blocks, offsets)
    check(blocks, offsets, total_bytes)
    by_owner = dict(zip(keys, offsets, strict=False))
    found = {key: by_owner[owners[key]] for key in lives}

    def of_kind(kind: StorageKind) -> dict[int, int]:
        return {
            index: offset for (found_kind, index), offset in found.items() if found_kind is kind
        }

    inputs, outputs = of_kind(StorageKind.INPUT), of_kind(StorageKind.OUTPUT)
    return MemoryPlan(
        total_bytes,
        of_kind(StorageKind.ARENA),
        {item[0]: offset for item, offset in zip(workspaces, offsets[len(keys) :], strict=True)},
        tuple(inputs[index] for index in sorted(inputs)),
        tuple(outputs[index] for index in sorted(outputs)),
    )


_Key = tuple[StorageKind, int]


def _lives(program: Program, io_in_arena: bool) -> dict[_Key, Block]:
    """What has a place in the arena, and when it is alive."""
    lives: dict[_Key, Block] = {}
    if io_in_arena:
        for index, port in enumerate(program.model_inputs):
            lives[StorageKind.INPUT, index] = Block(port.type.size_bytes, -1, -1)
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
                lives[key] = Block(storage.size_bytes, first, position)
    for index, port in enumerate(program.model_outputs if io_in_arena else ()):
        key = (StorageKind.OUTPUT, index)
        lives[key] = Block(port.type.size_bytes, lives[key].first, len(program.calls))
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
