"""Models that keep a state by the command: single steps, sequences, and what is told of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.command.conftest import Microtvm
from tests.unit.compiler.tflite_models import running_sum


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """x -> x + the sum of all that came before, which begins with [1, 2, 3]."""
    path = tmp_path / "sum.tflite"
    path.write_bytes(running_sum().to_bytes())
    return path


def test_the_state_is_told(microtvm: Microtvm, model: Path) -> None:
    lines = microtvm("compile", model, "-o", "sum.tar", status=0).out
    assert "  state 16 bytes, kept from run to run" in lines
    facts = json.loads(microtvm("compile", model, "-o", "sum.tar", "--json", status=0).out)
    assert facts["state_bytes"] == 16


def test_a_run_is_one_step_or_a_sequence(microtvm: Microtvm, model: Path) -> None:
    """Each begins with the initial state."""
    microtvm("create", "p", model, "host", "-o", "board=host", status=0)
    microtvm("build", "p", status=0)
    np.savez("step.npz", x=np.ones(3, np.float32))
    np.savez("steps.npz", x=np.ones((4, 3), np.float32))
    np.savez("wrong.npz", x=np.ones((4, 2), np.float32))

    microtvm("run", "p", "-i", "step.npz", "--repeat", "3", "-o", "out.npz", status=0)
    assert np.load("out.npz")["after"].tolist() == [2, 3, 4]
    microtvm("run", "p", "-i", "steps.npz", "--number", "2", "-o", "out.npz", status=0)
    assert np.load("out.npz")["after"][:, 0].tolist() == [2, 3, 4, 5]
    said = microtvm("run", "p", "-i", "wrong.npz", status=2).err
    assert "wrong.npz: 'x' has shape (4, 2), but the model keeps a state and takes" in said
