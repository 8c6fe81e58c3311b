"""What a platform's table of a board's definition may hold, and whether one holds just that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .errors import OptionError

_TABLE, _TABLES = "table", "tables"
_PYTHON_TYPES: dict[str, tuple[type, str]] = {
    "str": (str, "a string"),
    "int": (int, "a whole number"),
    "bool": (bool, "true or false"),
    "strs": (list, "a list"),
    _TABLE: (dict, "a table"),
    _TABLES: (list, "a list of tables"),
}


class BoardKey(NamedTuple):
    """A key that a board's table of this platform may have.

    Attributes:
        name: The key; `uart.base` is the key `base` of the table `uart` inside the platform's.
        type: "str", "int" (0 or more), "bool", "strs" (a list of strings), "table" or "tables" (a
            list of them). A table needs an entry of its own only if it is required, or is a list.
        required: It has to be given; a key of a table, wherever that table is given.
        default: The value of a key that is not given. A table that is not given has the defaults of
            its keys, or is None where one of them is required.
        choices: Every value allowed, or None for no limit.
        help: One line for a person.
    """

    name: str
    type: str
    required: bool = False
    default: Any = None
    choices: Sequence[Any] | None = None
    help: str = ""


def check_table(prefix: str, keys: Iterable[BoardKey], table: Mapping[str, Any]) -> dict[str, Any]:
    """Check a table, and add the defaults of keys that it lacks.

    Args:
        prefix: What the table is called in errors.
        keys: All that it may hold.
        table: Its keys and values.

    Returns:
        The table with every key.

    Raises:
        OptionError: A key that is unknown, missing, or has a value it cannot have.
    """
    own, inner = _split(keys)
    for name in table:
        if name not in own:
            raise OptionError(
                f"unknown key {prefix}.{name}",
                cure=f"the keys of {prefix} are {', '.join(own) or 'none'}",
            )
    filled = {}
    for name, key in own.items():
        label = f"{prefix}.{name}"
        value = table.get(name)  # None in JSON, absent in TOML
        if value is not None:
            filled[name] = _check_value(label, key, inner.get(name, []), value)
        elif key.required:
            raise OptionError(f"key {label} is missing")
        else:
            filled[name] = _default(label, key, inner.get(name, []))
    return filled


def _split(keys: Iterable[BoardKey]) -> tuple[dict[str, BoardKey], dict[str, list[BoardKey]]]:
    """The keys of the table itself, and those of the tables in it by their names."""
    own: dict[str, BoardKey] = {}
    inner: dict[str, list[BoardKey]] = {}
    for key in keys:
        table, dot, rest = key.name.partition(".")
        if dot:
            inner.setdefault(table, []).append(key._replace(name=rest))
            own.setdefault(table, BoardKey(table, _TABLE))
        else:
            own[table] = key
    return own, inner


def _default(label: str, key: BoardKey, inner: list[BoardKey]) -> Any:
    if key.type == _TABLES:
        return []
    if key.type == _TABLE and not any(each.required for each in inner):
        return check_table(label, inner, {})
    return key.default


def _check_value(label: str, key: BoardKey, inner: list[BoardKey], value: Any) -> Any:
    wanted: Any
    wanted, words = _PYTHON_TYPES[key.type]
    if not isinstance(value, wanted) or isinstance(value, bool) != (key.type == "bool"):
        raise OptionError(f"{label} must be {words}, not {value!r}")
    if key.type == "int" and value < 0:
        raise OptionError(f"{label} must not be negative")
    if key.choices is not None and value not in key.choices:
        raise OptionError(
            f"{label} must be one of {', '.join(str(each) for each in key.choices if each != '')}"
        )
    if key.type == _TABLE:
        return check_table(label, inner, value)
    if key.type == _TABLES:
        item = BoardKey(key.name, _TABLE)
        return [
            _check_value(f"{label}[{index}]", item, inner, element)
            for index, element in enumerate(value)
        ]
    if key.type == "strs":
        for index, item in enumerate(value):
            if not isinstance(item, str):
                raise OptionError(f"{label}[{index}] must be a string, not {item!r}")
    return value
