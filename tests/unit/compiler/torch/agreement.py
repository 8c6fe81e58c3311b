"""Holds compiled PyTorch programs to PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_microtvm.compiler import compile_to_files
from tests.unit.compiler.native import NativeModel

TOLERANCE = 1e-5


def flat(value: Any) -> list[Any]:
    """The tensors of a result."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [tensor for each in value for tensor in flat(each)]
    return [] if value is None else [value]


def agree(
    torch: Any, model: Any, sources: Sequence[Any], folder: Path, **export: Any
) -> NativeModel:
    """Export a model to a file, compile that, and compare what both compute."""
    program = torch.export.export(model.eval(), tuple(sources), **export)
    torch.export.save(program, str(folder / "model.pt2"))
    native = NativeModel(compile_to_files(folder / "model.pt2"), folder, ["-O0"])
    compare(native, sources, model(*sources))
    return native


def compare(native: NativeModel, sources: Sequence[Any], expected: Any) -> None:
    """Compare what a compiled program makes of inputs with results of PyTorch."""
    results = native(*(source.numpy() for source in flat(sources)))
    for result, wanted in zip(results, flat(expected), strict=True):
        array = wanted.detach().numpy()
        assert (result.shape, result.dtype) == (array.shape, array.dtype)
        np.testing.assert_allclose(result, array, rtol=TOLERANCE, atol=TOLERANCE)
