"""LSTM layers that onnxruntime quantized dynamically."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from pytest_microtvm.errors import ModelError
from tests.unit.compiler.onnx.comparing import agree, compiled, floats, made, node

onnxruntime = pytest.importorskip(
    "onnxruntime", reason="pip install 'pytest-microtvm[onnxruntime]'"
)

STEPS, INPUTS, UNITS = 3, 5, 6


def lstm(direction: str, columns: bool, batch: int = 1, **attributes: Any) -> Any:
    """A layer with weights of uint8; with first states where it has one direction."""
    rng = np.random.default_rng(0)
    count = 2 if direction == "bidirectional" else 1
    scales = [count, 4 * UNITS] if columns else [count]
    constants = {
        "w": rng.integers(0, 256, (count, INPUTS, 4 * UNITS)).astype(np.uint8),
        "r": rng.integers(0, 256, (count, UNITS, 4 * UNITS)).astype(np.uint8),
        "b": floats(count, 8 * UNITS) / 4,
        "ws": rng.uniform(0.003, 0.01, scales).astype(np.float32),
        "wz": np.full(scales, 125, np.uint8),
        "rs": rng.uniform(0.003, 0.01, scales).astype(np.float32),
        "rz": np.full(scales, 128, np.uint8),
    }
    states = "_ _" if count == 2 else "h c"
    inputs: dict[str, Any] = {"x": ("FLOAT", [STEPS, batch, INPUTS])}
    if count == 1:
        inputs |= dict.fromkeys(("h", "c"), ("FLOAT", [1, batch, UNITS]))
    layer = node(
        "DynamicQuantizeLSTM",
        f"x w r b _ {states} _ ws wz rs rz",
        "y last cell",
        direction=direction,
        hidden_size=UNITS,
        domain="com.microsoft",
        **attributes,
    )
    model = made([layer], inputs, "y last cell", constants)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


@pytest.mark.parametrize(
    ("direction", "columns"), [("forward", False), ("reverse", True), ("bidirectional", True)]
)
def test_each_step_is_quantized_as_onnxruntime_does(direction: str, columns: bool, tmp_path: Path):
    """In floats throughout, results would differ by some percent."""
    model = lstm(direction, columns)
    given = [floats(STEPS, 1, INPUTS), floats(1, 1, UNITS, seed=1), floats(1, 1, UNITS, seed=2)]
    given = given[: len(model.graph.input)]
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [value.name for value in model.graph.input]
    expected = session.run(None, dict(zip(names, given, strict=True)))
    agree(model, tmp_path, given, expected=expected)


@pytest.mark.parametrize(
    "model", [lstm("forward", False, batch=2), lstm("forward", True, clip=1.0)]
)
def test_what_is_not_compiled_is_told(model: Any, tmp_path: Path):
    with pytest.raises(ModelError, match=r"DynamicQuantizeLSTM \(it has several"):
        compiled(model, tmp_path)
