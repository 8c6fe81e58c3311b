"""Checks project options against what the platform says about them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .descriptions import Option, ServerDescription


def check_options(
    server: ServerDescription, method: str, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Check `given` before it goes to a platform's `method`.

    Options that other methods use are allowed: one set of options serves the whole life of a
    project. A server that was written for TVM gets a value of another type than it declares, as
    it got text for everything from TVM's command.

    Returns:
        `given` without the options that are None. Relative paths are made absolute for servers that
        run in folders of their own, which are all but those that were written for TVM.

    Raises:
        ConfigError: An unknown option, a missing one, a wrong type or a value not offered.
    """
    platform, options = server.platform_name, server.options
    known = {option.name: option for option in options}
    typed = server.board_keys is not None
    values = {name: value for name, value in given.items() if value is not None}
    for name, value in values.copy().items():
        if name not in known:
            raise ConfigError(
                f"platform {platform} has no option {name}",
                cure=f"its options are {', '.join(sorted(known)) or 'none'}",
            )
        _check_value(platform, known[name], value, typed=typed)
        if typed and known[name].type == "path" and value:
            values[name] = str(Path(value).expanduser().absolute())
    missing = [
        option.name for option in options if method in option.required and option.name not in values
    ]
    if missing:
        raise ConfigError(f"platform {platform} needs the option {', '.join(missing)} to {method}")
    return values


def _check_value(platform: str, option: Option, value: Any, *, typed: bool) -> None:
    if typed and option.type == "bool" and not isinstance(value, bool):
        raise ConfigError(f"platform {platform}: option {option.name} is true or false: {value!r}")
    if typed and option.type == "int" and (isinstance(value, bool) or not isinstance(value, int)):
        raise ConfigError(f"platform {platform}: option {option.name} is a number: {value!r}")
    if option.choices is not None and value not in option.choices:
        raise ConfigError(
            f"platform {platform}: option {option.name} cannot be {value!r}",
            cure=f"choose from {', '.join(map(str, option.choices))}",
        )
