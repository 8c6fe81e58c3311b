"""Model files of every format, read into Relax modules."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_microtvm.compiler.custom import custom_operators
from pytest_microtvm.compiler.frontends.contents import check_content
from pytest_microtvm.compiler.frontends.imported import EXPORT_CURE, ImportedModel, imported
from pytest_microtvm.errors import ModelError
from pytest_microtvm.extensions import FRONT_ENDS
from pytest_microtvm.model_files import NOT_COMPILED, suffix_of

__all__ = ["FrontEnd", "ImportedModel", "import_model", "imported", "no_signatures"]

FrontEnd = Callable[..., ImportedModel]
"""Imports what a file holds, given its bytes and the shapes of inputs that it leaves open, by name;
raises ModelError for what is damaged or cannot be compiled. One whose files have signatures takes
the name of the one that is wanted as `signature`, too; one whose files have custom operators takes
those that are known, by name, as `custom_operators`; one whose models may have weights in files
beside them (`model_files.weight_files`) takes these files' bytes by their names as `weights`."""


def import_model(
    path: Path,
    data: bytes,
    input_shapes: Mapping[str, tuple[int, ...]],
    signature: str | None = None,
    custom_files: Sequence[str] = (),
    weights: Mapping[str, bytes] | None = None,
) -> ImportedModel:
    """Import a model file by its suffix (see `extensions.FRONT_ENDS`).

    Args:
        path: Where the file is; its suffix decides the format, whatever the letter case.
        data: What the file holds.
        input_shapes: Of inputs whose shapes the file leaves open, by name.
        signature: The signature that is wanted; None for the model as it is without one.
        custom_files: Python files with custom operators.
        weights: What the files beside it hold, by their names.

    Raises:
        ModelError: The file is damaged, or holds what cannot be compiled.
        ConfigError: The package that adds the front end is broken.
    """
    suffixes = FRONT_ENDS.names()
    suffix = suffix_of(path)[1:]
    if suffix not in suffixes and f".{suffix}" in NOT_COMPILED:
        why, cure = NOT_COMPILED[f".{suffix}"]
        raise ModelError(why, cure=cure)
    if suffix not in suffixes:
        known = ", ".join(f".{name}" for name in suffixes if f".{name}" not in NOT_COMPILED)
        raise ModelError(
            "the suffix does not say what kind of model this is",
            cure=f"name the file by one of {known}, or install the package that reads it",
        )
    if not data:
        raise ModelError("the file is empty", cure=EXPORT_CURE)
    if suffix in FRONT_ENDS.built_in:
        check_content(suffix, data)
    front_end: FrontEnd = FRONT_ENDS.load(suffix)
    parameters = inspect.signature(front_end).parameters
    wanted: dict[str, Any] = {}
    if signature is not None:
        if "signature" not in parameters:
            raise no_signatures(f"a .{suffix} file")
        wanted["signature"] = signature
    if "custom_operators" in parameters:
        wanted["custom_operators"] = custom_operators(custom_files)
    if "weights" in parameters:
        wanted["weights"] = weights or {}
    return front_end(data, input_shapes, **wanted)


def no_signatures(what: str) -> ModelError:
    """The error for a signature that is asked of what has none."""
    return ModelError(f"{what} has no signatures", cure="leave out the signature")
