"""Project options on the command line: listed, read, and checked against what a server tells."""

from __future__ import annotations

import difflib
import shlex
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_microtvm.errors import ConfigError

if TYPE_CHECKING:
    from pytest_microtvm.project.descriptions import Option

_WIDTH = 80
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class MethodOptions:
    """The options of one step of a project.

    Attributes:
        method: The step, as the Project API calls it.
        options: All options of the platform; those of other steps are taken as well.
        typed: Whether what is declared as a number has to be one.
    """

    method: str
    options: tuple[Option, ...]
    typed: bool = True

    @property
    def shown(self) -> tuple[Option, ...]:
        """Those that the step uses."""
        return tuple(o for o in self.options if self.method in (*o.required, *o.optional))

    @property
    def required(self) -> tuple[str, ...]:
        """The names of those that the step cannot do without."""
        return tuple(o.name for o in self.options if self.method in o.required)

    def help_text(self) -> str:
        """All options that the step uses, as a help text."""
        return "\n\n".join(_describe(option, self.method) for option in self.shown) + "\n "

    def read(self, pairs: Iterable[str], recorded: Iterable[str] = ()) -> dict[str, Any]:
        """Read `OPTION=VALUE` pairs.

        Args:
            pairs: As they were given.
            recorded: The names of options that a project remembers.

        Raises:
            ConfigError: A malformed pair, an unknown or a missing option, a value of a wrong
                type or one that is not offered.
        """
        known = {option.name: option for option in self.options}
        values: dict[str, Any] = {}
        for pair in pairs:
            name, equals, value = pair.partition("=")
            if not equals or not name:
                raise ConfigError(f"Invalid option format: {pair}. Please use OPTION=VALUE.")
            if name not in known:
                raise ConfigError(
                    f"Option '{name}' is invalid. Use --list-options to see all available options."
                    + _did_you_mean(name, known)
                )
            values[name] = _convert(known[name], value, typed=self.typed)
        for name in self.required:
            if name not in values and name not in recorded:
                raise ConfigError(
                    f"Option '{name}' is required but was not specified. Use --list-options to "
                    "see all required options."
                )
        return values


def _convert(option: Option, text: str, *, typed: bool) -> Any:
    """The value of an option, of the type that its server declares."""
    value: Any = text
    if option.type == "bool":
        if text.lower() not in _BOOLEANS:
            raise _wrong_choice(option, text, _BOOLEANS)
        return _BOOLEANS[text.lower()]
    if option.type == "int":
        try:
            value = int(text, 0)
        except ValueError:
            if typed:
                raise ConfigError(
                    f"Option '{option.name}' takes a whole number, not '{text}'."
                ) from None
    if option.type == "list":
        value = shlex.split(text)
    if option.choices is not None and value not in option.choices:
        raise _wrong_choice(option, text, map(str, option.choices))
    return value


def _wrong_choice(option: Option, text: str, choices: Iterable[str]) -> ConfigError:
    return ConfigError(
        f"Choice '{text}' for option '{option.name}' is invalid. Use --list-options to see all "
        f"available choices for that option.{_did_you_mean(text, choices)}"
    )


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f" Did you mean '{close[0]}'?" if close else ""


def _describe(option: Option, method: str) -> str:
    lines = [f"{option.name}={line}" if not index else line for index, line in _values(option)]
    text = option.help.strip()
    parts = [text[:1].lower() + text[1:]] if text else []
    if method in option.required:
        parts.append("(required)")
    elif option.default:
        shown = str(option.default).lower() if option.type == "bool" else option.default
        parts.append(f"Defaults to '{shown}'.")
    lines.append(f"  {' '.join(parts)}")
    return "\n".join(lines)


def _values(option: Option) -> Iterable[tuple[int, str]]:
    """The values that an option may have, over as many lines as they take."""
    choices: Sequence[Any] | None = tuple(_BOOLEANS) if option.type == "bool" else option.choices
    if not choices:
        return [(0, option.name.upper())]
    text = f"{{{', '.join(map(str, choices))}}}"
    lines = textwrap.wrap(text, _WIDTH - len(option.name), break_on_hyphens=False)
    indent = " " * (len(option.name) + 1)
    return [(index, line if not index else indent + line) for index, line in enumerate(lines)]
