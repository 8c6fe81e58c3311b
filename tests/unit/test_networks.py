"""The networks that `scripts/bench matrix` measures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.mlf.library import open_library, read_graph, write_library
from scripts.benchmarks.networks import NETWORKS, write_networks
from tests.operators.running import run_litert

SHAPES = {
    "autoencoder": (1, 640),
    "keyword": (1, 49, 10, 1),
    "person": (1, 96, 96, 3),
    "image": (1, 32, 32, 3),
}
MACS = {
    "autoencoder": 264_192,
    "keyword": 2_656_768,
    "person": 7_489_664,
    "image": 12_501_632,
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    return request.param


def test_a_network_is_as_large_as_it_says(network, tmp_path):
    path = tmp_path / f"{network}.tflite"
    path.write_bytes(NETWORKS[network]())
    write_library(tmp_path / "library.tar", compile_to_files(path))
    library = open_library(tmp_path / "library.tar")
    assert [spec.shape for spec in library.inputs] == [SHAPES[network]]
    macs = {kernel.name: kernel.macs or 0 for kernel in library.kernels}
    nodes = json.loads(read_graph(library))["nodes"]
    calls = [node["attrs"]["func_name"] for node in nodes if node["op"] == "tvm_op"]
    assert sum(macs.get(call, 0) for call in calls) == MACS[network]
    assert library.float_operators is None


def test_outputs_depend_on_inputs(network):
    pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")
    random = np.random.default_rng(1)
    outputs = []
    for _ in range(2):
        given = random.integers(-128, 127, SHAPES[network], np.int8, endpoint=True)
        outputs += run_litert(NETWORKS[network](), [[given]])[0]
    first, second = outputs
    assert len(np.unique(first)) > 1
    assert not np.array_equal(first, second)


def test_files_are_the_same_each_time(tmp_path):
    first, second = (write_networks(tmp_path / name) for name in ("first", "second"))
    assert [path.name for path in first] == [f"{name}.tflite" for name in NETWORKS]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
