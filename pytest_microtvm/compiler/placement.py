"""Places blocks of memory in pools, so that those alive at once share no bytes.

For placing, the pools lie one after the other, the fastest first, and no block lies across the end
of one. Blocks are placed in turn, each at the lowest offset that is free among those it overlaps in
time: so it is in the fastest pool that has room. What comes out depends on their order: the largest
first is near the optimum on networks. No arena can be smaller than what is alive at once; where the
first order needs more, or has blocks in slower pools, others are tried, a limited number of them
and always the same ones.

Two blocks may share bytes all the same where one is what a kernel reads and the other what it
writes, and it goes through both in one direction: then one has to be so many bytes behind the other
that nothing is written over what is still to be read.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_microtvm.compiler.program import align_up
from pytest_microtvm.mlf.element_types import ALIGNMENT_BYTES

UNLIMITED = 1 << 40
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
class Shift:
    """Two blocks that may share bytes while both are alive, if one begins behind the other.

    Args:
        before: Number of the block that begins first.
        behind: Number of the other.
        distance_bytes: From where the first begins to where the other does, at least; not negative.
    """

    before: int
    behind: int
    distance_bytes: int

    def shared_bytes(self, blocks: Sequence[Block]) -> int:
        """What both may share, at the most."""
        room = align_up(blocks[self.before].size_bytes) - align_up(self.distance_bytes)
        return max(0, min(room, align_up(blocks[self.behind].size_bytes)))


def place(
    blocks: Sequence[Block],
    ends: Sequence[int] = (UNLIMITED,),
    shifts: Sequence[Shift] = (),
) -> list[int]:
    """Offsets in bytes of `blocks`, each a multiple of `ALIGNMENT_BYTES`.

    The result depends on the arguments and their order only. What finds no room is beyond the last
    end.

    Args:
        blocks: What to place.
        ends: Where each pool ends, from the fastest on, each being behind the one before.
        shifts: Which of them may share bytes while both are alive.
    """
    bound = (0, 0, least_arena_bytes(blocks, shifts))
    order, offsets = min(
        ((order, place_in_order(blocks, order, ends, shifts)) for order in _orders(blocks, shifts)),
        key=lambda found: _cost(blocks, found[1], ends),
    )
    best = _cost(blocks, offsets, ends)
    source = random.Random(0)
    for _ in range(min(_MAX_TRIALS, _MAX_COMPARISONS // max(1, len(blocks)) ** 2)):
        if best <= bound:
            break
        trial = list(order)
        first, second = source.randrange(len(trial)), source.randrange(len(trial))
        trial[first], trial[second] = trial[second], trial[first]
        trial_offsets = place_in_order(blocks, trial, ends, shifts)
        cost = _cost(blocks, trial_offsets, ends)
        # An order that is no worse may be a step towards a better one.
        if cost <= best:
            order, offsets, best = trial, trial_offsets, cost
    return offsets


def _orders(blocks: Sequence[Block], shifts: Sequence[Shift]) -> list[list[int]]:
    """Orders to begin with: the largest first, and those first that others are behind of."""
    numbers = range(len(blocks))
    by_size = sorted(
        numbers,
        key=lambda i: (blocks[i].pool is None, -blocks[i].size_bytes, blocks[i].first, i),
    )
    if not shifts:
        return [by_size]
    heights = [0] * len(blocks)
    chains = [{i} for i in numbers]  # what is tied to each block
    for _ in shifts:  # as often as a chain can be long
        for shift in shifts:
            height = heights[shift.before] + max(1, shift.distance_bytes)
            heights[shift.behind] = max(heights[shift.behind], height)
    for shift in shifts:
        chain = chains[shift.before] | chains[shift.behind]
        for i in chain:
            chains[i] = chain
    largest = [max(blocks[other].size_bytes for other in chain) for chain in chains]

    def rank(i: int) -> tuple[bool, int, int, int]:
        return blocks[i].pool is None, -largest[i], min(chains[i]), heights[i]

    return [by_size, sorted(by_size, key=rank)]


def place_in_order(
    blocks: Sequence[Block],
    order: Sequence[int],
    ends: Sequence[int] = (UNLIMITED,),
    shifts: Sequence[Shift] = (),
) -> list[int]:
    """Offsets in bytes when blocks are placed in the given order, each as low as it can be."""
    offsets = [0] * len(blocks)
    before = {(shift.before, shift.behind): shift.distance_bytes for shift in shifts}
    placed: list[int] = []
    for current in order:
        block = blocks[current]
        taken = [(end - block.size_bytes, end) for end in ends]
        for other in placed:
            if not block.overlaps(blocks[other]):
                continue
            start, end = offsets[other], offsets[other] + align_up(blocks[other].size_bytes)
            least, most = start - block.size_bytes, end
            if (current, other) in before:
                least = max(least, start - before[current, other])
            if (other, current) in before:
                most = min(most, start + align_up(before[other, current]))
            taken.append((least, most))
        taken.sort()
        start, end = _window(block, ends)
        offset = _lowest(taken, start)
        if offset + block.size_bytes > end:
            offset = _lowest(taken, ends[-1])
        offsets[current] = offset
        placed.append(current)
    return offsets


def _window(block: Block, ends: Sequence[int]) -> tuple[int, int]:
    """Where a block may be."""
    if block.pool is None:
        return 0, ends[-1]
    return (ends[block.pool - 1] if block.pool else 0), ends[block.pool]


def _lowest(taken: Sequence[tuple[int, int]], offset: int) -> int:
    """The lowest offset from `offset` on that is between none of the sorted pairs."""
    for least, most in taken:
        if offset <= least:
            break
        offset = max(offset, most)
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
    return homeless, spilled, sum(pool_sizes(blocks, offsets, ends))


def pool_sizes(blocks: Sequence[Block], offsets: Sequence[int], ends: Sequence[int]) -> list[int]:
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


def least_arena_bytes(blocks: Sequence[Block], shifts: Sequence[Shift] = ()) -> int:
    """What is alive at once at the worst moment: no arena can be smaller."""
    saved: dict[int, int] = {}
    for shift in shifts:
        moment = max(blocks[shift.before].first, blocks[shift.behind].first)
        saved[moment] = saved.get(moment, 0) + shift.shared_bytes(blocks)
    return max(
        (
            sum(align_up(b.size_bytes) for b in blocks if b.first <= moment.first <= b.last)
            - saved.get(moment.first, 0)
            for moment in blocks
        ),
        default=0,
    )


def check(
    blocks: Sequence[Block],
    offsets: Sequence[int],
    arena_bytes: int,
    shifts: Sequence[Shift] = (),
) -> None:
    """Verify a placement independently of how it was made.

    Raises:
        AssertionError: Two blocks alive at once share bytes that they may not, or one is misaligned
            or outside of the arena: a fault of the planner, never of the model.
    """
    for block, offset in zip(blocks, offsets, strict=True):
        if offset % ALIGNMENT_BYTES or offset < 0 or offset + block.size_bytes > arena_bytes:
            raise AssertionError(f"{block} at {offset} does not fit an arena of {arena_bytes}")
    may_share = {
        frozenset((shift.before, shift.behind))
        for shift in shifts
        if offsets[shift.behind] - offsets[shift.before] >= shift.distance_bytes
    }
    order = sorted(range(len(blocks)), key=lambda i: blocks[i].first)
    alive: list[int] = []
    for current in order:
        alive = [other for other in alive if blocks[other].last >= blocks[current].first]
        start, end = offsets[current], offsets[current] + blocks[current].size_bytes
        for other in alive:
            if (
                start < offsets[other] + blocks[other].size_bytes
                and offsets[other] < end
                and frozenset((current, other)) not in may_share
            ):
                raise AssertionError(f"{blocks[current]} and {blocks[other]} share bytes")
        alive.append(current)
