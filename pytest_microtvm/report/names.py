"""What reports call models."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pytest_microtvm.errors import printable


def short_names(models: Iterable[str]) -> dict[str, str]:
    """By the path of a model: its name, after as many folders as tell it from the others."""
    parts = {model: Path(model).parts for model in models}
    names = {}
    for model, own in parts.items():
        others = [other for path, other in parts.items() if path != model]
        count = 1
        while count < len(own) and any(other[-count:] == own[-count:] for other in others):
            count += 1
        names[model] = printable(Path(*own[-count:]).as_posix())
    return names
