"""Float networks as ONNX has them, channels first: by our own kernels from end to end."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tests.unit.compiler.onnx.comparing import agree, compiled, floats, made, node


def test_images_keep_their_channels_last_through_a_float_network(tmp_path: Path):
    nodes = [
        node("Conv", "x w1 b1", "a", pads=[1, 1, 1, 1]),
        node("Clip", "a low high", "c"),
        node("Conv", "c w2 b2", "d", group=8, pads=[1, 1, 1, 1]),
        node("Relu", "d", "r"),
        node("Add", "r c", "s"),
        node("MaxPool", "s", "y", kernel_shape=[2, 2], strides=[2, 2]),
    ]
    constants = {
        "w1": floats(8, 3, 3, 3, seed=1) / 5,
        "b1": floats(8, seed=2),
        "low": np.float32(0),
        "high": np.float32(6),
        "w2": floats(8, 1, 3, 3, seed=3) / 3,
        "b2": floats(8, seed=4),
    }
    model = made(nodes, {"x": ("FLOAT", [1, 3, 10, 10])}, constants=constants)
    agree(model, tmp_path / "compared", [floats(1, 3, 10, 10)])
    kernels = re.findall(r"/\*\n \* (\w+), ", compiled(model, tmp_path / "read").text("*_lib0.c"))
    moved = [name for name in kernels if name.startswith("transpose")]
    assert len(moved) == 2  # of the input and the output
    assert sorted(set(kernels) - set(moved)) == ["add", "conv2d", "depthwise_conv2d", "max_pool2d"]
