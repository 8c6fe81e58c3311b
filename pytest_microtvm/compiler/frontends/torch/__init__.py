"""PyTorch programs that `torch.export` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pytest_microtvm.compiler.frontends.imported import (
    ImportedModel,
    TensorName,
    imported,
)
from pytest_microtvm.errors import ModelError


def import_torch(
    data: bytes, input_shapes: Mapping[str, tuple[int, ...]] | None = None
) -> ImportedModel:
    """Import a program that `torch.export.save` wrote.

    Args:
        data: What the file holds.
        input_shapes: Of inputs whose shapes are open, by name.

    Raises:
        ModelError: It is damaged, or holds what cannot be compiled; or PyTorch is not installed.
    """
    _torch()
    from pytest_microtvm.compiler.frontends.torch.file import read_program

    return import_program(read_program(data), input_shapes)


def is_program(model: Any) -> bool:
    """Whether an object is a program of `torch.export`; does not import PyTorch."""
    kind = type(model)
    return kind.__module__.startswith("torch.export") and kind.__name__ == "ExportedProgram"


def import_program(
    program: Any, input_shapes: Mapping[str, tuple[int, ...]] | None = None
) -> ImportedModel:
    """Import a `torch.export.ExportedProgram`.

    Args:
        program: It.
        input_shapes: Of inputs whose shapes are open, by name; an open dimension is 1 else.

    Raises:
        ModelError: It holds what cannot be compiled.
    """
    _torch()
    from pytest_microtvm.compiler.frontends.torch.converter import convert
    from pytest_microtvm.compiler.frontends.torch.program import prepare

    prepared = prepare(program, input_shapes or {})
    made = convert(prepared)
    names = [TensorName(name) for name in prepared.inputs]
    count = len(prepared.outputs)
    outputs = [TensorName("output" if count == 1 else f"output_{i}") for i in range(count)]
    found = imported(made.module, names, outputs, made.specs, made.initial_states)
    return replace(found, is_even=True)


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ModelError(
            "reading PyTorch programs needs the package 'torch'",
            cure="pip install 'pytest-microtvm[torch]'",
        ) from error
    return torch
