from __future__ import annotations

import random

import pytest

from pytest_microtvm.compiler.planning import Block, check, place, plan_memory
from pytest_microtvm.compiler.program import (
    CopyCall,
    Kernel,
    KernelCall,
    Program,
    Storage,
    StorageKind,
    TensorType,
)


def arena_bytes(blocks: list[Block], offsets: list[int]) -> int:
    ends = [offset + b.size_bytes for b, offset in zip(blocks, offsets, strict=True)]
    return -(-max(ends) // 16) * 16


def test_a_chain_of_tensors_needs_room_for_the_two_that_meet():
    blocks = [Block(160, i, i + 1) for i in range(20)]
    assert arena_bytes(blocks, place(blocks)) == 320


def test_blocks_that_never_meet_share_all_their_bytes():
    blocks = [Block(100, i, i) for i in range(5)]
    assert place(blocks) == [0] * 5


def test_offsets_are_multiples_of_16_whatever_the_sizes():
    blocks = [Block(size, 0, 1) for size in (1, 7, 17, 31, 33)]
    assert all(offset % 16 == 0 for offset in place(blocks))


def test_a_hole_between_two_living_blocks_is_used():
    # The middle block dies first; one as large must take its place.
    blocks = [Block(64, 0, 9), Block(48, 0, 3), Block(32, 0, 9), Block(48, 4, 9)]
    offsets = place(blocks)
    assert arena_bytes(blocks, offsets) == 144


@pytest.mark.parametrize("seed", range(20))
def test_random_plans_pass_the_independent_check(seed: int):
    source = random.Random(seed)
    blocks = []
    for _ in range(60):
        first = source.randrange(30)
        blocks.append(Block(source.randrange(1, 5000), first, first + source.randrange(8)))
    offsets = place(blocks)
    check(blocks, offsets, arena_bytes(blocks, offsets))
    peak = max(sum(b.size_bytes for b in blocks if b.first <= time <= b.last) for time in range(40))
    assert peak <= arena_bytes(blocks, offsets) < 1.5 * peak + 16 * len(blocks)


@pytest.mark.parametrize(
    ("offsets", "size", "message"),
    [
        ([0, 16], 64, "share bytes"),
        ([0, 40], 72, "does not fit"),
        ([0, 48], 64, "does not fit"),
        ([-16, 32], 64, "does not fit"),
    ],
    ids=["overlapping", "misaligned", "beyond the arena", "before the arena"],
)
def test_the_check_finds_a_wrong_plan(offsets: list[int], size: int, message: str):
    blocks = [Block(32, 0, 2), Block(32, 1, 3)]
    with pytest.raises(AssertionError, match=message):
        check(blocks, offsets, size)


def test_the_check_finds_blocks_that_share_bytes_while_a_third_lives():
    blocks = [Block(32, 0, 9), Block(16, 0, 1), Block(32, 5, 6)]
    check(blocks, [0, 32, 32], 64)
    with pytest.raises(AssertionError, match="share bytes"):
        check(blocks, [0, 32, 16], 64)


def test_workspaces_live_for_their_call_and_callers_buffers_are_not_planned():
    source = Storage(StorageKind.INPUT, 0, TensorType((64,), "int8"))
    middle = Storage(StorageKind.ARENA, 7, TensorType((64,), "int8"))
    result = Storage(StorageKind.OUTPUT, 0, TensorType((64,), "int8"))
    program = Program([], [], [], [])
    program.kernels["k"] = Kernel("k", "k", (), 128, "", frozenset())
    program.calls = [
        KernelCall("k", (source, middle)),
        KernelCall("k", (middle, middle, "3")),
        CopyCall(middle, result),
    ]
    plan = plan_memory(program)
    assert plan.arena_bytes == 64 + 128
    assert set(plan.storage_offsets) == {7}
    assert set(plan.workspace_offsets) == {0, 1}


def test_a_program_without_intermediates_needs_no_arena():
    ty = TensorType((4,), "int8")
    copy = CopyCall(Storage(StorageKind.INPUT, 0, ty), Storage(StorageKind.OUTPUT, 0, ty))
    assert plan_memory(Program([], [], [], [copy])).arena_bytes == 0
