"""The graph of an archive."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_microtvm.errors import ModelError
from pytest_microtvm.mlf import library
from pytest_microtvm.mlf.library import (
    open_library,
    read_graph,
)
from tests.unit.mlf.archives import CODE, GRAPH, GRAPH_COUNTS, altered, files, packed


def with_graph(graph: Any = GRAPH, counts: Any = GRAPH_COUNTS) -> dict[str, bytes]:
    """The files of an archive that serves the graph executor, too."""
    metadata = altered(
        lambda m: m["modules"]["net"].update(executors=["aot", "graph"], graph=counts)
    )
    text = graph if isinstance(graph, bytes) else json.dumps(graph).encode()
    return {**files(metadata), "executor-config/graph/net.graph": text}


def test_a_graph_is_read_from_an_archive(tmp_path: Path):
    opened = open_library(packed(tmp_path / "net.tar", with_graph()))
    assert opened.executors == ("aot", "graph")
    assert json.loads(read_graph(opened)) == GRAPH


def test_an_archive_without_a_graph_says_so(tmp_path: Path):
    opened = open_library(packed(tmp_path / "net.tar"))
    with pytest.raises(ModelError, match="has no graph"):
        read_graph(opened)


def test_a_promised_graph_must_be_there(tmp_path: Path):
    contents = with_graph()
    del contents["executor-config/graph/net.graph"]
    with pytest.raises(ModelError, match=r"has no executor-config/graph/net\.graph"):
        open_library(packed(tmp_path / "net.tar", contents))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"a":1,"a":2}'])
def test_a_graph_that_is_no_json_object_is_refused(text: bytes, tmp_path: Path):
    with pytest.raises(ModelError, match=r"net\.graph that is not"):
        open_library(packed(tmp_path / "net.tar", with_graph(text)))


def test_a_graph_of_many_megabytes_is_refused(tmp_path: Path):
    text = b" " * (library.MAX_GRAPH_BYTES + 1)
    with pytest.raises(ModelError, match=r"net\.graph of 4194305 bytes"):
        open_library(packed(tmp_path / "net.tar", with_graph(text)))


def test_a_graph_that_is_counted_wrongly_is_refused(tmp_path: Path):
    with pytest.raises(ModelError, match="counts its graph wrongly"):
        open_library(packed(tmp_path / "net.tar", with_graph(counts={**GRAPH_COUNTS, "steps": 1})))


def call(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Change the attributes of the node that calls a kernel."""
    return lambda graph: graph["nodes"][2]["attrs"].update(changes)


def attribute(name: str, entry: int, value: Any) -> Callable[[dict[str, Any]], None]:
    """Change what the graph says of one entry."""

    def change(graph: dict[str, Any]) -> None:
        graph["attrs"][name][1][entry] = value

    return change


WRONG_GRAPHS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "no nodes": (lambda g: g.pop("nodes"), "without nodes"),
    "no attributes": (lambda g: g.update(attrs=[]), "without attrs"),
    "no heads": (lambda g: g.pop("heads"), "without heads"),
    "node as number": (lambda g: g["nodes"].__setitem__(0, 7), "without inputs"),
    "nameless node": (lambda g: g["nodes"][0].pop("name"), "no name"),
    "unknown node": (lambda g: g["nodes"][2].update(op="vm_op"), "kind of node"),
    "input with inputs": (
        lambda g: g["nodes"][1].update(inputs=[[0, 0, 0]]),
        "source that is not a single tensor",
    ),
    "fewer rows": (lambda g: g["node_row_ptr"].pop(), "node_row_ptr does not fit"),
    "rows that go back": (lambda g: g.update(node_row_ptr=[0, 2, 1, 4, 5]), "does not fit"),
    "rows as text": (lambda g: g.update(node_row_ptr=["0"] * 5), "hold numbers"),
    "more rows than entries": (lambda g: g.update(node_row_ptr=[0, 1, 2, 4, 6]), "attributes do"),
    "no arg_nodes": (lambda g: g.pop("arg_nodes"), "arg_nodes"),
    "other arg_nodes": (lambda g: g.update(arg_nodes=[1, 0]), "arg_nodes"),
    "other input": (attribute("shape", 0, [3]), "inputs are not those"),
    "other output": (attribute("shape", 4, [3]), "outputs are not those"),
    "more outputs": (lambda g: g["heads"].append([2, 0, 0]), "outputs are not those"),
    "later reference": (lambda g: g["nodes"][2].update(inputs=[[2, 0, 0]]), "not there yet"),
    "reference to no node": (lambda g: g.update(heads=[[9, 0, 0]]), "not there"),
    "reference to no output": (lambda g: g.update(heads=[[3, 1, 0]]), "not there"),
    "negative reference": (lambda g: g.update(heads=[[-1, 0, 0]]), "malformed reference"),
    "bool reference": (lambda g: g.update(heads=[[True, 0, 0]]), "malformed reference"),
    "short reference": (lambda g: g.update(heads=[[3]]), "malformed reference"),
    "no function": (call(func_name=None), "calls no function"),
    "function with code": (call(func_name="f();"), "calls no function"),
    "inputs counted wrongly": (call(num_inputs="3"), "counts its arguments"),
    "outputs as number": (call(num_outputs=2), "counts its arguments"),
    "workspace as number": (call(workspace_offset=32), "workspace off"),
    "workspace beyond": (call(workspace_offset="112"), "workspace off"),
    "workspace unaligned": (call(workspace_offset="33"), "workspace off"),
    "attribute as text": (lambda g: g["attrs"].update(shape="list"), "without shape"),
    "attribute without values": (
        lambda g: g["attrs"].update(shape=["l", 1]),
        "shape is not a list",
    ),
    "missing attribute": (lambda g: g["attrs"].pop("storage_offset"), "without storage_offset"),
    "short attribute": (lambda g: g["attrs"]["dltype"][1].pop(), "different lengths"),
    "unknown dtype": (attribute("dltype", 2, "float16"), "unknown element type"),
    "dtype as list": (attribute("dltype", 2, []), "unknown element type"),
    "negative extent": (attribute("shape", 2, [-8]), "wrong shape"),
    "deep shape": (attribute("shape", 2, [1] * 40), "wrong shape"),
    "no elements": (attribute("shape", 2, [0]), "impossible size"),
    "huge tensor": (attribute("shape", 2, [2**31 - 1] * 3), "impossible size"),
    "storage as text": (attribute("storage_id", 2, "2"), "wrong storage_id"),
    "beyond the arena": (attribute("storage_offset", 2, 80), "off its arena"),
    "before the arena": (attribute("storage_offset", 2, -16), "off its arena"),
    "unaligned": (attribute("storage_offset", 2, 8), "off its arena"),
    "offset as float": (attribute("storage_offset", 2, 16.0), "off its arena"),
}


@pytest.mark.parametrize("name", WRONG_GRAPHS)
def test_wrong_graphs_are_refused_by_name(name: str, tmp_path: Path):
    change, message = WRONG_GRAPHS[name]
    graph = copy.deepcopy(GRAPH)
    change(graph)
    with pytest.raises(ModelError, match=f"has a graph .*{message}") as caught:
        open_library(packed(tmp_path / "net.tar", with_graph(graph)))
    assert caught.value.cure
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["metadata.json", *CODE])
def test_a_missing_member_is_named(missing: str, tmp_path: Path):
    contents = files()
    del contents[missing]
    with pytest.raises(ModelError, match=missing):
        open_library(packed(tmp_path / "net.tar", contents))
