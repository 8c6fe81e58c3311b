"""Models held to their own interpreters once: what is kept of that, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_microtvm.flow.cache import Cache
from pytest_microtvm.flow.model_checks import ModelChecks
from pytest_microtvm.forks import Program
from pytest_microtvm.verify import interpreters
from pytest_microtvm.verify.compare import Tolerance
from pytest_microtvm.verify.model_check import ModelCheck
from tests.unit.verify.test_model_check import WEIGHTS, dense_library, dense_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")
    model = tmp_path / "net.tflite"
    model.write_bytes(dense_model(WEIGHTS).to_bytes())
    return model


def check(model: Path, directory: Path) -> ModelCheck:
    """What a new process finds."""

    def run(_library: Any, inputs: Any) -> Any:
        return {"y": inputs["x"] @ WEIGHTS.T}

    cache = Cache(directory)
    cache.open()
    return ModelChecks(cache, Tolerance(), run, lambda *_: []).result(model, dense_library())


def killing_itself(folder: Path, signal_number: int) -> Program:
    """What is run in an interpreter's place."""
    path = folder / "program.py"
    path.write_text(f"import os\nos.kill(os.getpid(), {signal_number})\n")
    return Program(str(path))


def test_an_interpreter_that_somebody_killed_is_asked_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as killed:
        killed.setattr(interpreters, "CHILD", killing_itself(tmp_path, 9))
        found = check(model, tmp_path / "cache")
    assert found.status == "not checked"
    assert "SIGKILL" in found.notes[0]
    assert check(model, tmp_path / "cache").status in ("exact", "within tolerance")


def test_a_model_that_crashes_its_interpreter_is_not_run_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as crashing:
        crashing.setattr(interpreters, "CHILD", killing_itself(tmp_path, 11))
        assert check(model, tmp_path / "cache").status == "not checked"
    assert "SIGSEGV" in check(model, tmp_path / "cache").notes[0]
