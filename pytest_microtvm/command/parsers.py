"""Parsers that are filled when they are used, and what many subcommands have in common.

A parser that is only listed in a help text costs nothing: what a subcommand takes is added when
that subcommand parses its arguments.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_microtvm.api.environment import Environment
    from pytest_microtvm.compiler.pools import Memory

OK, FAILED, USAGE = 0, 1, 2
"""Exit statuses: success, a step failed, wrong usage."""

INTERRUPTED = 130
"""As a shell reports a program that Ctrl-C ended."""


class HelpFormatter(argparse.HelpFormatter):
    """Takes texts as they are set where they hold lines of their own."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        if "\n" in text:
            return text.splitlines()
        return super()._split_lines(text, width)


class CommandParser(argparse.ArgumentParser):
    """The parser of a subcommand, filled when it is used."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        keywords.setdefault("formatter_class", HelpFormatter)
        super().__init__(*arguments, **keywords)
        self.fill: Callable[[CommandParser, Sequence[str]], None] | None = None

    def format_help(self) -> str:
        """The help text, without blanks at the ends of lines."""
        return "\n".join(map(str.rstrip, super().format_help().splitlines())) + "\n"

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Fill the parser, then parse."""
        given = sys.argv[1:] if args is None else list(args)
        self.fill_in(given)
        return super().parse_known_args(given, namespace)

    def fill_in(self, given: Sequence[str]) -> None:
        """Add what the subcommand takes, unless that was done.

        Args:
            given: The arguments that will be parsed.
        """
        fill, self.fill = self.fill, None
        if fill is not None:
            fill(self, given)


def add_environment(parser: argparse.ArgumentParser, *, device: bool = True) -> None:
    """Add the options that say where things are.

    Args:
        parser: Gets them.
        device: Whether the subcommand opens devices.
    """
    group = parser.add_argument_group("where things are")
    group.add_argument(
        "--cache-dir", type=Path, metavar="DIR", help="keep what is compiled and built here"
    )
    for kind, what in (("boards", "board definitions"), ("platforms", "platforms")):
        group.add_argument(
            f"--{kind}-dir",
            type=Path,
            action="append",
            default=[],
            metavar="DIR",
            help=f"find more {what} here; may be repeated",
        )
    if device:
        group.add_argument("--lab", type=Path, metavar="PATH", help="the lab file")
        group.add_argument(
            "--timeout",
            type=float,
            default=60.0,
            metavar="SECONDS",
            help="for opening a device, and for each call to it (default: 60)",
        )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="tell each step, and what the device logs"
    )


def environment_of(arguments: argparse.Namespace) -> Environment:
    """What `add_environment` added, as the API takes it."""
    from pytest_microtvm.api.environment import Environment

    always = getattr(arguments, "tell_steps", False)
    shown = always or arguments.verbose or sys.stderr.isatty()
    environment = Environment(
        cache_dir=arguments.cache_dir,
        boards_dirs=arguments.boards_dir,
        platforms_dirs=arguments.platforms_dir,
        lab=getattr(arguments, "lab", None),
        timeout_s=getattr(arguments, "timeout", 60.0),
        count_instructions=getattr(arguments, "count_instructions", True),
        progress=tell if shown else _silent,
        log=tell if arguments.verbose else _silent,
    )
    return environment


def tell(line: str) -> None:
    """Tell a person something that is no result."""
    print(f"microtvm: {line}", file=sys.stderr, flush=True)


def print_json(document: Any) -> None:
    """Print a result for other programs."""
    import json

    print(json.dumps(document, indent=2))


def answers_directory(arguments: argparse.Namespace) -> Path:
    """Where answers of servers about their options are kept."""
    from pytest_microtvm.flow.cache import default_cache_directory

    return (arguments.cache_dir or default_cache_directory()) / "queries"


def _silent(_line: str) -> None:
    """Tell nothing."""


def add_memory(parser: CommandParser, *, several: bool = True) -> None:
    """Add the options that say which memory a model has.

    Args:
        parser: Gets them.
        several: Whether one option takes several pools; not where more arguments may follow.
    """
    many: dict[str, Any] = {"nargs": "+", "action": "extend"} if several else {"action": "append"}
    parser.add_argument(
        "--pool",
        metavar="name=NAME,size=SIZE",
        **many,
        default=[],
        help="memory for tensors, fastest first; or a .toml file with pools, or 'board' for the "
        "board's regions of RAM.",
    )
    parser.add_argument(
        "--constant-pool",
        metavar="name=NAME,size=SIZE",
        **many,
        default=[],
        help="memory for constants, which the application fills; the rest stays in flash.",
    )
    parser.add_argument(
        "--io-pool", metavar="NAME", default="", help="the pool that inputs and outputs are in."
    )


def memory_of(arguments: argparse.Namespace) -> Memory:
    """The memory that the options name.

    Raises:
        ConfigError: One of them is written in another way.
    """
    from pytest_microtvm.compiler.pools import parse_memory

    return parse_memory(arguments.pool, arguments.constant_pool, arguments.io_pool)
