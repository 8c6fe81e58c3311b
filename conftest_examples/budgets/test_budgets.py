"""Budgets for flash and RAM: a model that grows over its limit fails."""

from pathlib import Path

import pytest

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

MODELS = ["../models/sine_int8.tflite", "../models/sine_float32.tflite"]
BUDGETS = tomllib.loads(Path(__file__).with_name("budgets.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "model", [pytest.param(path, marks=pytest.mark.microtvm_model(path)) for path in MODELS]
)
def test_budget(microtvm, model):
    budget = BUDGETS.get(microtvm.board.name, {}).get(microtvm.model.stem)
    assert budget, f"budgets.toml has no [{microtvm.board.name}.{microtvm.model.stem}]"
    metrics = dict(microtvm.metrics.items())
    over = {
        name: f"{metrics[name].value:,} of {limit:,} {metrics[name].unit}"
        for name, limit in budget.items()
        if metrics[name].value > limit
    }
    assert not over
