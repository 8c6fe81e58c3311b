"""Prints lines between the tests' own, whichever process of the run has something to say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from pytest_microtvm.errors import printable
from pytest_microtvm.face.workers import Processes, send_line
from pytest_microtvm.report.layout import fold


class Console:
    """What a run tells while tests run.

    Args:
        config: pytest's configuration.
        processes: Of the run; a worker's lines are printed by the controlling process.
    """

    def __init__(self, config: pytest.Config, processes: Processes) -> None:
        self._config = config
        self._processes = processes

    def tell(self, line: str) -> None:
        """Print a line."""
        self._tell(line, verbosity=0)

    def detail(self, line: str) -> None:
        """Print a line, with `-v` only."""
        self._tell(line, verbosity=1)

    def print_workers_line(self, worker: str, verbosity: int, line: str) -> None:
        """Print what a worker said; in a thread of its own."""
        if self._config.get_verbosity() >= verbosity:
            self._print(f"[{worker}] {line}")

    def _tell(self, line: str, *, verbosity: int) -> None:
        if self._processes.worker is not None:
            send_line(self._processes.folder, self._processes.worker, verbosity, line)
        elif self._config.get_verbosity() >= verbosity:
            self._print(line)

    def _print(self, line: str) -> None:
        """Print a line between the tests' own; also from a thread that is not pytest's."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None:
            return
        with _uncaptured(self._config):
            terminal.ensure_newline()
            # In one piece, so that nothing comes between; dots of xdist may be before it.
            writer = self._config.get_terminal_writer()
            start = "\n" if writer.width_of_current_line else ""
            lines = _indented(line, writer.fullwidth)
            writer.write(start + "".join(f"{each}\n" for each in lines), flush=True)


def _indented(text: str, width: int) -> Iterator[str]:
    """The lines of a text; none, and no line break in a name, can pass for another message."""
    first, *others = text.splitlines() or [""]
    prefix = "microtvm: "
    indent = " " * len(prefix)
    yield from fold(prefix + printable(first), width, indent)
    for line in others:
        yield from fold(indent + printable(line), width, indent)


@contextlib.contextmanager
def _uncaptured(config: pytest.Config) -> Iterator[None]:
    capture = config.pluginmanager.get_plugin("capturemanager")
    if capture is None:
        yield
        return
    with capture.global_and_fixture_disabled():
        yield
