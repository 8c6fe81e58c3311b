"""Inputs and outputs that have their places in the arena."""

from __future__ import annotations

import ctypes
import json
import re
from pathlib import Path

import numpy as np

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from tests.unit.compiler.native import NativeModel, guarded, is_untouched

MODEL = Path(__file__).parents[3] / "conftest_examples"


def some_model() -> Path:
    """A quantized model of the examples."""
    return sorted(MODEL.rglob("*int8*.tflite"))[0]


def test_inputs_and_outputs_in_the_arena_give_the_same_bytes(tmp_path: Path):
    apart = NativeModel(compile_to_files(some_model()), _new(tmp_path / "apart"))
    together = NativeModel(
        compile_to_files(some_model(), CompileOptions(io_in_arena=True)), _new(tmp_path / "in")
    )
    library = together.library
    header = together.text(f"tvmgen_{library.name}.h")
    main = json.loads(together.file("metadata.json"))["modules"][library.name]["memory"]
    tensors = main["functions"]["main"][0]
    offsets = {
        kind: [entry["workspace_offset"] for entry in tensors[kind].values()]
        for kind in ("inputs", "outputs")
    }
    for kind in ("inputs", "outputs"):
        for entry in tensors[kind].values():
            macro = entry["macro"].removesuffix("_SIZE") + "_OFFSET"
            assert re.search(rf"#define {macro} {entry['workspace_offset']}\n", header)
    rng = np.random.default_rng(0)
    values = [rng.integers(-128, 128, spec.shape).astype(spec.dtype) for spec in library.inputs]
    expected = apart(*values)
    assert [array.tolist() for array in together(*values)] == [a.tolist() for a in expected]

    workspace, arena = guarded(library.workspace_bytes)
    for value, offset in zip(values, offsets["inputs"], strict=True):
        ctypes.memmove(arena + offset, value.tobytes(), value.nbytes)
    status = together.run_at(
        [arena + offset for offset in offsets["inputs"]],
        [arena + offset for offset in offsets["outputs"]],
        arena,
    )
    assert status == 0
    assert is_untouched(workspace)
    for want, offset in zip(expected, offsets["outputs"], strict=True):
        assert ctypes.string_at(arena + offset, want.nbytes) == want.tobytes()


def _new(directory: Path) -> Path:
    directory.mkdir()
    return directory
