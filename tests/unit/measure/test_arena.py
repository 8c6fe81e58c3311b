"""The arena of a model over one inference, from the graph of its archive."""

import pytest

from pytest_microtvm.compiler import CompileOptions, compile_model
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.measure.arena import Arena, Block, arena_of, plan_of
from pytest_microtvm.mlf.graph import Entry, Graph, Node
from pytest_microtvm.mlf.library import open_library
from tests.plugin.running import MODELS

# x -> a -> b -> y, with a kept until the last call and b computed in place of it.
GRAPH = Graph(
    entries=(
        Entry((4,), "int8", None),
        Entry((2, 4), "float32", 16),
        Entry((2, 4), "float32", 16),
        Entry((100,), "int8", None),
        Entry((3,), "int16", None),
    ),
    nodes=(
        Node(2, "n0", "spread", (0, 3), (1,), 64),
        Node(3, "n1", "negate", (1,), (2,)),
        Node(4, "n2", "join", (2, 1), (4,), 0),
    ),
    sources={"x": 0, "weights": 3},
    heads=(4,),
)


@pytest.fixture
def arena() -> Arena:
    plan = plan_of(GRAPH, {"spread": 8, "join": 0})
    assert plan is not None
    return plan


def test_a_tensor_lives_from_the_call_that_writes_it_to_the_last_that_reads_it(arena):
    assert arena.blocks == (
        Block("spread", "tensor", 16, 32, 0, 2),
        Block("spread", "workspace", 64, 8, 0, 0),
        Block("negate", "tensor", 16, 32, 1, 2),
    )


def test_memory_that_two_tensors_share_counts_once(arena):
    assert [call.live_bytes for call in arena.calls] == [40, 32, 32]


def test_a_call_tells_what_it_reads_and_writes(arena):
    assert [call.tensor_bytes for call in arena.calls] == [4 + 100 + 32, 64, 32 + 32 + 6]


def test_the_plan_of_a_compiled_model_fills_its_arena_at_the_peak(tmp_path):
    archive = tmp_path / "keyword.tar"
    compile_model(MODELS / "keyword_int8.tflite", archive, CompileOptions(), Deadline(60))
    library = open_library(archive)
    plan = arena_of(library)
    assert plan is not None
    assert max(block.offset_bytes + block.size_bytes for block in plan.blocks) == (
        library.workspace_bytes
    )
    assert 0 < max(call.live_bytes for call in plan.calls) <= library.workspace_bytes
    assert plan.to_data()["calls"][0]["kernel"] == library.kernels[0].name
