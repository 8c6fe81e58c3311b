from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from pytest_microtvm.compiler.placement import (
    Block,
    Shift,
    arena_bytes,
    check,
    least_arena_bytes,
    place,
    place_in_order,
)
from pytest_microtvm.compiler.planning import plan_memory
from pytest_microtvm.compiler.program import (
    CopyCall,
    Kernel,
    KernelCall,
    KernelParameter,
    Overlap,
    Port,
    Program,
    Storage,
    StorageKind,
    TensorType,
)


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


def largest_first(blocks: list[Block]) -> int:
    """The arena of the greedy order alone."""
    order = sorted(range(len(blocks)), key=lambda i: -blocks[i].size_bytes)
    return arena_bytes(blocks, place_in_order(blocks, order))


def optimum(blocks: list[Block]) -> int:
    """The least arena: some order of placing as low as can be gives it, so all are tried."""
    orders = itertools.permutations(range(len(blocks)))
    return min(arena_bytes(blocks, place_in_order(blocks, order)) for order in orders)


def random_network(source: random.Random, count: int) -> list[Block]:
    """Tensors that live for a few calls; now and then one that is kept for long."""
    blocks = []
    for call in range(count):
        length = 5 if source.random() < 0.3 else source.randrange(1, 3)
        blocks.append(Block(16 * source.randrange(1, 64), call, call + length))
    return blocks


def test_plans_of_small_graphs_are_optimal():
    for seed in range(60):
        blocks = random_network(random.Random(seed), 6)
        assert arena_bytes(blocks, place(blocks)) == optimum(blocks), seed


def test_other_orders_help_where_the_largest_first_is_not_the_optimum():
    gained = 0
    for seed in range(40):
        blocks = random_network(random.Random(seed), 24)
        best = arena_bytes(blocks, place(blocks))
        assert least_arena_bytes(blocks) <= best <= largest_first(blocks)
        gained += best < largest_first(blocks)
    assert gained > 5


def test_the_same_blocks_give_the_same_plan():
    blocks = random_network(random.Random(1), 40)
    assert place(blocks) == place(list(blocks))


def test_a_block_may_be_a_little_before_the_one_that_it_is_made_of():
    blocks = [Block(100, 0, 1), Block(100, 1, 2)]
    shifts = [Shift(before=1, behind=0, distance_bytes=20)]
    offsets = place(blocks, shifts=shifts)
    assert offsets == [32, 0]  # a multiple of 16
    check(blocks, offsets, 144, shifts)
    assert least_arena_bytes(blocks, shifts) == 144


def test_chains_go_to_and_fro():
    """Depthwise convolutions begin before what they read, those of 1 x 1 behind it."""
    blocks = [Block(8000, n, n + 1) for n in range(9)]
    shifts = [
        Shift(n + 1, n, 960) if n % 2 == 0 else Shift(n, n + 1, 192) for n in range(len(blocks) - 1)
    ]
    assert place(blocks, shifts=shifts) == [960, 0] * 4 + [192]


@pytest.mark.parametrize("distance", [0, 32])
def test_the_check_finds_a_block_that_is_too_near(distance: int):
    blocks = [Block(100, 0, 1), Block(100, 1, 2)]
    with pytest.raises(AssertionError, match="share bytes"):
        check(blocks, [distance, 0], 160, [Shift(1, 0, 48)])


def test_a_shift_is_for_its_two_blocks_alone():
    blocks = [Block(96, 0, 1), Block(96, 1, 2), Block(16, 1, 1)]
    offsets = place(blocks, shifts=[Shift(1, 0, 16)])
    assert arena_bytes(blocks, offsets) == 96 + 16 + 16
    with pytest.raises(AssertionError, match="share bytes"):
        check(blocks, [16, 0, 0], 112, [Shift(1, 0, 16)])


@pytest.mark.parametrize("seed", range(20))
def test_random_plans_with_shifts_pass_the_independent_check(seed: int):
    source = random.Random(seed)
    blocks = [Block(source.randrange(1, 5000), n, n + 1) for n in range(30)]
    shifts = []
    for n in range(len(blocks) - 1):
        pair = (n, n + 1) if source.random() < 0.5 else (n + 1, n)
        shifts.append(Shift(*pair, source.randrange(0, 6000)))
    offsets = place(blocks, shifts=shifts)
    size = arena_bytes(blocks, offsets)
    check(blocks, offsets, size, shifts)
    assert least_arena_bytes(blocks, shifts) <= size <= 1.25 * arena_bytes(blocks, place(blocks))


def unary_chain(
    in_place: tuple[int, ...], extra_reader: bool = False, overlaps: tuple[Overlap, ...] = ()
) -> Program:
    """input -> a -> b -> output, b made of a by a kernel that may work in place."""
    ty = TensorType((64,), "int8")
    source, result = Storage(StorageKind.INPUT, 0, ty), Storage(StorageKind.OUTPUT, 0, ty)
    a, b = Storage(StorageKind.ARENA, 0, ty), Storage(StorageKind.ARENA, 1, ty)
    parameters = tuple(
        KernelParameter(name, "int8", is_pointer=True, is_written=name == "output")
        for name in ("input0", "output")
    )
    program = Program([Port("x", "x", ty)], [Port("y", "y", ty)], [], [])
    program.kernels["copy"] = Kernel("copy", "copy", parameters, 0, "", frozenset())
    program.kernels["step"] = Kernel(
        *("step", "step", parameters, 0, "", frozenset()),
        is_generated=True,
        in_place=in_place,
        overlaps=overlaps,
    )
    program.calls = [
        KernelCall("copy", (source, a)),
        KernelCall("step", (a, b)),
        KernelCall("copy", (a if extra_reader else b, result)),
    ]
    return program


def test_a_kernel_works_in_place_when_nothing_else_reads_its_input():
    plan = plan_memory(unary_chain((0,)))
    assert plan.arena_bytes == 64
    assert plan.storage_offsets == {0: 0, 1: 0}


def test_a_kernel_that_cannot_work_in_place_gets_two_tensors():
    assert plan_memory(unary_chain(())).arena_bytes == 128


def test_an_input_that_is_read_again_stays_as_it_is():
    assert plan_memory(unary_chain((0,), extra_reader=True)).arena_bytes == 128


@pytest.mark.parametrize(("is_behind", "offsets"), [(False, {0: 16, 1: 0}), (True, {0: 0, 1: 16})])
def test_an_output_is_so_far_from_its_input_as_the_kernel_needs(
    is_behind: bool, offsets: dict[int, int]
):
    plan = plan_memory(unary_chain((), overlaps=(Overlap(0, 16, is_behind),)))
    assert plan.arena_bytes == 64 + 16
    assert plan.storage_offsets == offsets


def test_an_input_that_is_read_again_overlaps_with_nothing():
    program = unary_chain((), extra_reader=True, overlaps=(Overlap(0, 16),))
    assert plan_memory(program).arena_bytes == 128


def test_the_first_kernel_may_write_over_an_input_in_the_arena():
    program = unary_chain(())
    program.kernels["step"] = replace(program.kernels["copy"], overlaps=(Overlap(0, 16),))
    ty = TensorType((64,), "int8")
    source, output = Storage(StorageKind.INPUT, 0, ty), Storage(StorageKind.OUTPUT, 0, ty)
    program.calls = [KernelCall("step", (source, output))]
    assert plan_memory(program, io_in_arena=True).arena_bytes == 64 + 16
    assert plan_memory(program).arena_bytes == 0


def test_inputs_and_outputs_in_the_arena_share_its_bytes():
    plan = plan_memory(unary_chain((0,)), io_in_arena=True)
    # The input is dead when the output is written.
    assert plan.arena_bytes == 128
    assert plan.input_offsets == plan.output_offsets
    assert plan.input_offsets[0] != plan.storage_offsets[0]
