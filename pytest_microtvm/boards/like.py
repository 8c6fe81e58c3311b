"""Tables of platforms that are like another one's: `like = "NAME"` takes its keys over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_microtvm.errors import ConfigError

LIKE = "like"


def complete_likenesses(tables: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Add to each table what it lacks of the one that it is like.

    Args:
        tables: The tables of platforms, by name.
        path: Their file.

    Returns:
        The tables, none with the key `like`. What one gives itself counts; tables within it are
        completed key by key.

    Raises:
        ConfigError: A table is like one that there is not, or that is itself like another.
    """
    completed = dict(tables)
    for name, table in tables.items():
        if not isinstance(table, dict) or LIKE not in table:
            continue
        wanted = table[LIKE]
        model = tables.get(wanted) if isinstance(wanted, str) else None
        if not isinstance(model, dict) or LIKE in model:
            known = [each for each, other in tables.items() if other is not table]
            raise ConfigError(
                f"{path}: {name}.{LIKE} is {wanted!r}, but must name another platform's table "
                f"without a key {LIKE}",
                cure=f"the other tables are {', '.join(known) or 'none'}",
            )
        own = {key: value for key, value in table.items() if key != LIKE}
        completed[name] = _completed(own, model)
    return completed


def _completed(table: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    completed = {**model, **table}
    for key, value in table.items():
        if isinstance(value, dict) and isinstance(model.get(key), dict):
            completed[key] = _completed(value, model[key])
    return completed
