"""Kernels whose outputs share memory with what they still read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from scripts.benchmarks.networks import Network
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.test_importing_quantized import reference

SHAPE = [1, 13, 7, 3]


def chain() -> bytes:
    """Convolutions that keep the shape, with a sum around two of them and a step at the end."""
    network = Network("chain", SHAPE)
    tensor = network.conv(network.input, 16)
    left = network.separable(tensor, 16)
    tensor = network.conv(left, 16)
    tensor = network.add(left, network.separable(tensor, 16))
    tensor = network.separable(tensor, 24, stride=2)
    return network.to_bytes(network.classify(tensor, 5))


@pytest.mark.parametrize("io_in_arena", [False, True])
@pytest.mark.parametrize("simd", ["none", "dsp", "helium"])
def test_the_bytes_are_the_reference_s(simd: str, io_in_arena: bool, tmp_path: Path):
    path = tmp_path / "model.tflite"
    path.write_bytes(chain())
    options = CompileOptions(simd=simd, io_in_arena=io_in_arena)
    model = NativeModel(compile_to_files(path, options), tmp_path, ("-O2",))
    tensor_bytes = 13 * 7 * 16
    # What the sum reads, a tensor whose kernel writes over it, and what kernels keep beside.
    most = 3.5 if simd == "helium" else 2.7
    assert 2 * tensor_bytes < model.library.workspace_bytes < most * tensor_bytes
    rng = np.random.default_rng(0)
    for _ in range(4):
        values = rng.integers(-128, 128, SHAPE).astype(np.int8)
        [result] = model(values)
        np.testing.assert_array_equal(result, reference(path.read_bytes(), values)[0])
