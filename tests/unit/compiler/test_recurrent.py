"""Recurrent layers, which front ends describe as ONNX does."""

from __future__ import annotations

import pytest

from pytest_microtvm.compiler.frontends.recurrent.loops import Layer


@pytest.mark.parametrize(("kind", "is_linear"), [("LSTM", False), ("GRU", True), ("RNN", False)])
def test_only_a_gru_multiplies_before_it_resets(kind: str, is_linear: bool):
    """Whatever is said of others: the recurrent bias would be left out of them."""
    layer = Layer(kind, 1, 1, 1, {"linear_before_reset": 1})
    assert layer.is_linear_before_reset is is_linear
