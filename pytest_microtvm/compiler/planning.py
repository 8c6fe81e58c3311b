"""Places every intermediate tensor and kernel workspace in one arena.

A block of memory lives from the first call that touches it to the last. Blocks whose lives overlap
must not share bytes; all others may. The largest block is placed first, each at the lowest offset
that is free among the blocks it overlaps in time: a greedy method that is near the optimum on
networks and takes a second on none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_microtvm.compiler.program import (
    ALIGNMENT_BYTES,
    Program,
    Storage,
    StorageKind,
    align_up,
)


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
    """

    arena_bytes: int
    storage_offsets: dict[int, int]
    workspace_offsets: dict[int, int]


def place(blocks: Sequence[Block]) -> list[int]:
    """Offsets in bytes of `blocks`, each a multiple of `ALIGNMENT_BYTES`.

    The result depends on the blocks and their order only.
    """
    order = sorted(range(len(blocks)), key=lambda i: (-blocks[i].size_bytes, blocks[i].first, i))
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


def plan_memory(program: Program) -> MemoryPlan:
    """Plan the arena of `program`, whose kernels must be known."""
    lives: dict[int, tuple[Storage, int, int]] = {}
    for position, call in enumerate(program.calls):
        for storage in program.storages(call):
            if storage.kind is StorageKind.ARENA:
                first = lives[storage.index][1] if storage.index in lives else position
                lives[storage.index] = (storage, first, position)
    workspaces = [
        (position, size_bytes)
        for position, call in enumerate(program.calls)
        if (size_bytes := program.workspace_bytes(call))
    ]
    blocks = [Block(storage.size_bytes, first, last) for storage, first, last in lives.values()]
    blocks += [Block(size_bytes, position, position) for position, size_bytes in workspaces]
    offsets = place(blocks)
    ends = (offset + block.size_bytes for block, offset in zip(blocks, offsets, strict=True))
    arena_bytes = align_up(max(ends, default=0))
    check(blocks, offsets, arena_bytes)
    storage_offsets = offsets[: len(lives)]
    workspace_offsets = offsets[len(lives) :]
    return MemoryPlan(
        arena_bytes,
        dict(zip(lives, storage_offsets, strict=True)),
        {item[0]: offset for item, offset in zip(workspaces, workspace_offsets, strict=True)},
    )
