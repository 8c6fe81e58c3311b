"""`microtvm completion SHELL`: a script that completes the command in a shell."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_microtvm.command.parsers import OK, CommandParser
from pytest_microtvm.errors import ConfigError

SHELLS = ("bash", "zsh", "fish")
_BOARDS = ("board", "boards", "patterns")


def fill(parser: CommandParser, _given: Sequence[str]) -> None:
    """Add what the subcommand takes."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that runs the script")
    parser.set_defaults(run=_print_script)


def _print_script(arguments: argparse.Namespace) -> int:
    try:
        import shtab
    except ImportError:
        raise ConfigError(
            "shtab, which writes completion scripts, is not installed",
            cure="pip install 'pytest-microtvm[completion]'",
        ) from None
    root: argparse.ArgumentParser = arguments.root
    _fill_all(root, shtab)
    print(shtab.complete(root, arguments.shell))
    return OK


def _fill_all(parser: argparse.ArgumentParser, shtab: Any) -> None:
    """Fill a parser and those below it, and say of each argument what completes it."""
    if isinstance(parser, CommandParser):
        parser.fill_in([])
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                _fill_all(below, shtab)
        elif action.type is Path:
            is_folder = "DIR" in str(action.metavar or "")
            action.complete = shtab.DIRECTORY if is_folder else shtab.FILE  # type: ignore[attr-defined]
        elif action.dest in _BOARDS and action.choices is None:
            action.choices = _board_names()


def _board_names() -> list[str]:
    from pytest_microtvm.boards import load_boards

    return list(load_boards())
