"""The `microtvm` command: a thin face over the public API.

    models      compile, check, evaluate, boards
    tuning      tune
    projects    create-project, build, flash
    running     run
    serving     serve
    debugging   debug
    exporting   export
    upkeep      cache, doctor
    reports     report
    lab         lab scan, check, virtual
    completion  completion

Each subcommand is parsed and imported when it is used. The exit status is 0 for success, 1 when a
step failed, and 2 for wrong usage; messages go to stderr.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from pytest_microtvm.command import (
    comparing,
    exporting,
    models,
    projects,
    reports,
    running,
    serving,
    tuning,
    upkeep,
)
from pytest_microtvm.command.parsers import FAILED, INTERRUPTED, USAGE, CommandParser, tell
from pytest_microtvm.errors import (
    BuildError,
    ConfigError,
    FlashError,
    FloatOperatorWarning,
    MicroTVMError,
    OutputMismatch,
    refused_path,
)
from pytest_microtvm.process import fill_standard_streams
from pytest_microtvm.version import __version__

_STREAM_ERRORS = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        arguments: The command line without the program; `sys.argv[1:]` if None.

    Returns:
        The exit status.
    """
    _open_streams()
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in _STREAM_ERRORS:
            raise
        _discard_output()
        if error.errno == errno.EPIPE:  # who reads has had enough, as `head` does
            return FAILED
        print(f"microtvm: cannot write what there is to show: {error.strerror}", file=sys.stderr)
        return FAILED
    return status


def _run(arguments: Sequence[str] | None) -> int:
    """Parse the command line and run what it names."""
    parser = argparse.ArgumentParser(
        prog="microtvm",
        description="Machine-learning models on microcontrollers, step by step; pytest runs the "
        "tests of them.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(
        title="subcommands",
        dest="subcommand",
        required=True,
        metavar="COMMAND",
        parser_class=CommandParser,
    )
    parts = models, tuning, projects, running, exporting, serving, comparing, reports, upkeep
    for module in parts:
        module.add_commands(commands)
    commands.add_parser("debug", help="run a project's model under gdb.").fill = _fill_debug
    commands.add_parser("lab", help="the boards that are here").fill = _fill_lab
    commands.add_parser("completion", help="completion for a shell").fill = _fill_completion
    parser.set_defaults(root=parser)  # which `completion` describes
    try:
        parsed = parser.parse_args(arguments)
        run: Callable[[argparse.Namespace], int] = parsed.run
        with warnings.catch_warnings():
            warnings.simplefilter("always", FloatOperatorWarning)
            warnings.showwarning = _tell_warning
            return run(parsed)
    except (ConfigError, OSError) as error:
        told = refused_path(error) if isinstance(error, OSError) else error
        print(f"microtvm: {told}", file=sys.stderr)
        return USAGE
    except OutputMismatch as error:
        print(error)  # a verdict: it belongs to the results
        return FAILED
    except (BuildError, FlashError) as error:
        print(
            f"The following error occurred on the Project API server side: {error}",
            file=sys.stderr,
        )
        return FAILED
    except MicroTVMError as error:
        print(f"microtvm: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("microtvm: interrupted", file=sys.stderr)
        return INTERRUPTED


def _open_streams() -> None:
    """Open those of the three standard streams that are closed, to and from nowhere."""
    fill_standard_streams()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))


def _discard_output() -> None:
    """What is still to be written has nowhere to go; Python would try once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _tell_warning(message: Warning | str, *_where: object, **_more: object) -> None:
    """Tell a warning without the place in our code that it comes from."""
    tell(f"warning: {message}")


def _fill_debug(parser: CommandParser, given: Sequence[str]) -> None:
    from pytest_microtvm.command import debugging  # which takes more imports than all others

    debugging.fill(parser, given)


def _fill_lab(parser: CommandParser, _given: Sequence[str]) -> None:
    from pytest_microtvm.command import lab, virtual

    commands = parser.add_subparsers(required=True, metavar="LAB_COMMAND", dest="lab_command")
    for module in (lab, virtual):
        module.add_commands(commands)


def _fill_completion(parser: CommandParser, given: Sequence[str]) -> None:
    from pytest_microtvm.command import completion

    completion.fill(parser, given)
