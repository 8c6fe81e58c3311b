"""Pools as they are written, and what goes into which."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.compiler.constant_planning import plan_constants
from pytest_microtvm.compiler.placement import Block, check, place
from pytest_microtvm.compiler.planning import plan_memory
from pytest_microtvm.compiler.pools import (
    ConstantPoolInfo,
    Memory,
    WorkspacePoolInfo,
    fastest_first,
    parse_memory,
    parse_pool,
    parse_size,
    written_pool,
)
from pytest_microtvm.compiler.program import (
    Kernel,
    KernelCall,
    Program,
    Storage,
    StorageKind,
    TensorType,
)
from pytest_microtvm.errors import ConfigError, DoesNotFit

FULL = WorkspacePoolInfo("dtcm", 65536, 480_000_000, 8, 4, 1, 2, 32, ".dtcm", internal=True)


def test_a_pool_is_read_as_it_is_written():
    text = (
        "name=dtcm, size=64K, clock=480000000, read_bandwidth=8, write_bandwidth_bytes_per_cycle=4"
    )
    text += ",read_latency=1,write_latency=2,burst=32,section=.dtcm,internal=yes"
    assert parse_pool(text, WorkspacePoolInfo) == FULL
    assert parse_pool(written_pool(FULL), WorkspacePoolInfo) == FULL
    assert written_pool(ConstantPoolInfo("x")) == "name=x"


@pytest.mark.parametrize(
    ("text", "size"), [("64K", 65536), ("1MiB", 1 << 20), ("2 kb", 2048), ("17", 17), (32, 32)]
)
def test_sizes_may_have_units(text: str | int, size: int):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dtcm", "is no KEY=VALUE"),
        ("size=64K", "without a name"),
        ("name=a,name=b", "is there twice"),
        ("name=a,size=1K,size_hint_bytes=2K", "the key 'size_hint_bytes'"),
        ("name=a,speed=3", "the key 'speed'"),
        ("name=a,size=lots", "size 'lots'"),
        ("name=a,size=8", "size_hint_bytes 8"),
        ("name=a,size=9G", "size_hint_bytes"),
        ("name=a b", "no name of a pool"),
        ("name=a__b", "no name of a pool"),
        ("name=State", "cannot be called 'State'"),
        ("name=register", "cannot be called"),
        ("name=a,section=x;rm", "has the section"),
        ("name=a,internal=perhaps", "internal=perhaps"),
        ("name=" + "a" * 41, "no name of a pool"),
    ],
)
def test_what_is_no_pool_is_refused(text: str, message: str):
    with pytest.raises(ConfigError, match=message) as refused:
        parse_pool(text, WorkspacePoolInfo)
    assert refused.value.cure


def test_a_file_may_hold_pools_of_both_kinds(tmp_path: Path):
    path = tmp_path / "pools.toml"
    path.write_text(
        '[[workspace_pools]]\nname = "dtcm"\nsize = "64K"\ninternal = true\n'
        '[[workspace_pools]]\nname = "sram"\nread_bandwidth = 4\n'
        '[[constant_pools]]\nname = "itcm"\nsize = 16384\n'
    )
    memory = parse_memory([str(path), "name=more"], ["name=weights"])
    assert [pool.name for pool in memory.pools] == ["dtcm", "sram", "more"]
    assert memory.pools[0] == WorkspacePoolInfo("dtcm", 65536, internal=True)
    assert [pool.name for pool in memory.constant_pools] == ["weights", "itcm"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[pools]\n", "pools is no list"),
        ("[[workspace_pools]]\nsize = 3\n", "without a name"),
        ("[[workspace_pools]]\nname = \n", "is no TOML file"),
        ("workspace_pools = " + "[" * 100_000, "is no TOML file"),
        ('workspace_pools = ["dtcm"]\n', "without a name"),
        ('[[constant_pools]]\nname = "x"\ninternal = true\n', "the key 'internal'"),
    ],
)
def test_a_wrong_file_is_refused_by_its_name(tmp_path: Path, text: str, message: str):
    path = tmp_path / "pools.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as refused:
        parse_memory([str(path)])
    assert "pools.toml" in str(refused.value)
    with pytest.raises(ConfigError, match="cannot read"):
        parse_memory([str(tmp_path / "none.toml")])


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        (Memory((WorkspacePoolInfo("a"), WorkspacePoolInfo("A"))), "two pools are called"),
        (Memory((WorkspacePoolInfo("a"),), (ConstantPoolInfo("a"),)), "two pools are called"),
        (Memory((), (ConstantPoolInfo("Workspace"),)), "two pools are called"),
        (Memory((WorkspacePoolInfo("a"),), io_pool="b"), "no workspace pool 'b'"),
        (Memory(tuple(WorkspacePoolInfo(f"p{i}") for i in range(17))), "17 pools"),
    ],
)
def test_pools_that_cannot_be_together_are_refused(memory: Memory, message: str):
    with pytest.raises(ConfigError, match=message):
        memory.check()


def test_the_regions_of_a_board_are_pools():
    board = load_boards()["netduinoplus2"]
    pools = parse_memory(["board"]).on(board).pools
    regions = [region for region in board.memory if region.kind == "ram"]
    assert [(pool.name, pool.size_hint_bytes) for pool in pools] == [
        (region.name, region.bytes) for region in regions
    ]
    with pytest.raises(ConfigError, match="no board is named"):
        parse_memory(["board"]).on(None)
    with pytest.raises(ConfigError, match="host names no regions"):
        parse_memory(["board"]).on(load_boards()["host"])


def test_pools_are_ordered_by_what_a_byte_costs():
    slow = WorkspacePoolInfo("slow", read_bandwidth_bytes_per_cycle=1)
    late = WorkspacePoolInfo("late", read_bandwidth_bytes_per_cycle=8, read_latency_cycles=90)
    fast = WorkspacePoolInfo("fast", read_bandwidth_bytes_per_cycle=4)
    unknown, other = WorkspacePoolInfo("unknown"), WorkspacePoolInfo("other")
    given = [unknown, slow, late, other, fast]
    assert [pool.name for pool in fastest_first(given)] == [
        *("fast", "slow", "late"),
        *("unknown", "other"),
    ]
    quick = WorkspacePoolInfo("q", clock_frequency_hz=4, read_bandwidth_bytes_per_cycle=1)
    calm = WorkspacePoolInfo("c", clock_frequency_hz=1, read_bandwidth_bytes_per_cycle=2)
    assert fastest_first([calm, quick]) == [quick, calm]


@pytest.mark.parametrize("seed", range(10))
def test_no_block_lies_across_the_end_of_a_pool(seed: int):
    source = random.Random(seed)
    blocks = []
    for _ in range(40):
        first = source.randrange(20)
        blocks.append(Block(source.randrange(1, 3000), first, first + source.randrange(6)))
    ends = [4096, 4096 + 2048, 1 << 30]
    offsets = place(blocks, ends)
    check(blocks, offsets, 1 << 30)
    for block, offset in zip(blocks, offsets, strict=True):
        assert all(not offset < end < offset + block.size_bytes for end in ends)
    assert any(offset < 4096 for offset in offsets)


def test_a_block_that_fits_the_fast_pool_is_there():
    blocks = [Block(100, 0, 1), Block(100, 1, 2), Block(100, 2, 3)]
    assert all(offset < 256 for offset in place(blocks, [256, 1 << 30]))
    assert place([Block(300, 0, 1), Block(16, 0, 1)], [256, 1 << 30]) == [256, 0]


def test_a_block_may_be_bound_to_a_pool():
    blocks = [Block(64, 0, 1), Block(32, 0, 1, 1), Block(32, 0, 1, 0)]
    offsets = place(blocks, [64, 1 << 30])
    assert offsets[1] >= 64 > offsets[2]
    assert place([Block(80, 0, 0, 0)], [64, 1 << 30])[0] >= 1 << 30


def program(*sizes: int) -> Program:
    """A chain of calls over tensors of these sizes, with a constant for each."""
    made = Program([], [], [], [])
    made.kernels["k"] = Kernel("k", "k", (), 0, "", frozenset(), macs=1000)
    for index, size in enumerate(sizes):
        made.constants.append(np.zeros(size * (index + 1), np.int8))
        constant = Storage(StorageKind.CONSTANT, index, TensorType((size * (index + 1),), "int8"))
        tensor = Storage(StorageKind.ARENA, index, TensorType((size,), "int8"))
        before = max(0, index - 1)
        source = Storage(StorageKind.ARENA, before, TensorType((sizes[before],), "int8"))
        made.calls.append(KernelCall("k", (source, constant, tensor)))
    return made


def test_pools_lie_one_after_the_other_in_the_order_given():
    slow = WorkspacePoolInfo("slow", read_bandwidth_bytes_per_cycle=1)
    fast = WorkspacePoolInfo("fast", 64, read_bandwidth_bytes_per_cycle=8)
    plan = plan_memory(program(64, 32, 16), pools=(slow, fast))
    assert [(pool.info.name, pool.offset) for pool in plan.pools] == [("slow", 0), ("fast", 32)]
    assert [pool.size_bytes for pool in plan.pools] == [32, 64]
    assert plan.arena_bytes == 96
    assert plan.place_of(plan.storage_offsets[0]) == (plan.pools[1], 0)
    assert plan.place_of(plan.storage_offsets[1])[0].info == slow


def test_what_has_no_room_is_told():
    with pytest.raises(DoesNotFit, match=r"too little room \(a 32, b 32 bytes\)") as refused:
        plan_memory(program(64), pools=(WorkspacePoolInfo("a", 32), WorkspacePoolInfo("b", 32)))
    assert "64 bytes more" in refused.value.cure


def test_constants_that_are_read_the_most_go_into_the_pool():
    made = program(64, 64, 64)
    (pool,) = plan_constants(made, (ConstantPoolInfo("p", 200),))
    assert pool.offsets == {0: 0, 1: 64}
    assert pool.size_bytes == 192
    made.initial_states = (0,)
    (pool,) = plan_constants(made, (ConstantPoolInfo("p"),))
    assert set(pool.offsets) == {1, 2}
    (pool,) = plan_constants(program(), (ConstantPoolInfo("p"),))
    assert (pool.size_bytes, pool.offsets) == (16, {})
