"""Follows pages to the letter: writes the files that they show, and runs their console blocks.

    python3 scripts/walk.py docs/tutorial.md

A block that is fenced as `console` holds commands, each after `$ `, and what they print. A command
whose comment begins with "fails" has to fail. `...` stands for any lines, or any part of a line,
that a page leaves out; numbers may be others. A block of code whose first line is a comment with
the name of a file (`# train.py`) is that file. Lines after `(gdb) ` are typed into the command
before.

It imports nothing but the standard library, so it runs where nothing is installed; the tests of
this project follow all pages with it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"^ {0,3}```(\w*)\s*$")
_FILE = re.compile(r"^(?:#|//|;) ([\w./-]+\.\w+)$")
_FAILS = re.compile(r"\s# fails\b")
_END = "\x1e"


@dataclass
class Command:
    """A command of a page.

    Attributes:
        text: For the shell.
        line: Where it is in the page.
        typed: What is typed into it.
        shown: What the page says that it prints.
    """

    text: str
    line: int
    typed: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    @property
    def has_to_fail(self) -> bool:
        """Whether the page says so."""
        return bool(_FAILS.search(self.text))


@dataclass
class PageFile:
    """A file that a page shows."""

    name: str
    text: str


Step = Command | PageFile


def steps_of(page: str) -> list[Step]:
    """The steps of a page.

    Args:
        page: Its text.

    Raises:
        ValueError: A console block begins with what is no command.
    """
    steps: list[Step] = []
    for line, kind, lines in _blocks(page):
        if kind == "console":
            steps += _commands(lines, line + 1)
        elif lines and (found := _FILE.match(lines[0])):
            steps.append(PageFile(found[1], "\n".join(lines) + "\n"))
    return steps


def _blocks(page: str) -> Iterator[tuple[int, str, list[str]]]:
    """Each block of code with its line and kind."""
    kind: str | None = None
    start, block = 0, list[str]()
    for number, line in enumerate(page.splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and kind is None:
            kind, start, block = fence[1], number, []
        elif fence:
            assert kind is not None
            yield start, kind, block
            kind = None
        elif kind is not None:
            block.append(line)


def _commands(lines: list[str], first: int) -> Iterator[Command]:
    command: Command | None = None
    for number, line in enumerate(lines, first):
        if command is not None and command.text.endswith("\\") and not command.shown:
            command.text += f"\n{line}"
        elif line.startswith("$ "):
            if command is not None:
                yield command
            command = Command(line.removeprefix("$ "), number)
        elif command is None:
            raise ValueError(f"line {number}: a console block begins with a command after '$ '")
        elif line.startswith("(gdb) "):
            command.typed.append(line.removeprefix("(gdb) "))
        else:
            command.shown.append(line)
    if command is not None:
        yield command


def follow(
    steps: list[Step], folder: Path, environment: Mapping[str, str], timeout_s: float
) -> list[str]:
    """Take steps in a folder, all commands in one shell.

    Args:
        steps: Of a page.
        folder: Where.
        environment: Of the shell.
        timeout_s: For all of them together.

    Returns:
        What is not as the page says; empty if all is.
    """
    script: list[str] = []
    commands: list[Command] = []
    for step in steps:
        if isinstance(step, PageFile):
            mark = f"END_OF_{re.sub('[^A-Za-z]', '_', step.name).upper()}"
            parent = Path(step.name).parent
            script.append(f"mkdir -p '{parent}'\ncat > '{step.name}' <<'{mark}'\n{step.text}{mark}")
            continue
        typed = "".join(f"{line}\n" for line in step.typed)
        # A group, so that a command may be a list, or go on in the background.
        run = f"{{ {step.text}\n}} </dev/null"
        if typed:  # on a terminal, which `script` makes
            on_terminal = f"script --quiet --return --command {shlex.quote(step.text)} /dev/null"
            run = f"{on_terminal} <<'END_OF_INPUT'\n{typed}END_OF_INPUT"
        script.append(f"{run}\nprintf '{_END}%d{_END}' $?")
        commands.append(step)
    script.append("kill $(jobs -p) 2>/dev/null")
    # Into a file: what goes on in the background would hold a pipe open.
    with tempfile.TemporaryFile() as file:
        process = subprocess.Popen(
            ["bash", "-c", "\n".join(script)],
            cwd=folder,
            env=dict(environment),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        file.seek(0)
        output = file.read().decode(errors="replace")
    parts = output.split(_END)
    troubles = []
    for at, command in enumerate(commands):
        if 2 * at + 1 >= len(parts):
            troubles.append(f"line {command.line}: {command.text}: did not end\n{parts[-1]}")
            break
        printed, status = parts[2 * at], int(parts[2 * at + 1])
        trouble = _trouble(command, printed, status)
        if trouble:
            troubles.append(f"line {command.line}: {command.text}: {trouble}\n{printed}")
            break
    return troubles


def _trouble(command: Command, printed: str, status: int) -> str:
    if command.has_to_fail != bool(status):
        return f"exit status {status}"
    lines = [_shape(line) for line in printed.splitlines()]
    at = 0
    for shown in command.shown:
        shape = _shape(shown)
        if shape in ("", "..."):
            continue
        pattern = re.compile(".*".join(map(re.escape, shape.split("..."))))
        found = next((i for i, line in enumerate(lines[at:], at) if pattern.search(line)), None)
        if found is None:
            return f"does not print (in this order, numbers aside): {shown}"
        at = 0 if command.typed else found + 1  # a debugger speaks while another program does
    return ""


def _shape(line: str) -> str:
    """A line without what differs from run to run: numbers, and how wide it is."""
    line = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line)  # colours of a terminal
    line = re.sub(r" \(\d+:\d\d:\d\d\)", "", line)  # of runs that take minutes
    line = re.sub(r"0x[0-9a-f]+|-?\d[\d,.]*", "0", line.strip())
    return re.sub(r"([=\-_ ])\1+", r"\1", line)


def main() -> int:
    """Follow the pages that are named, in the current folder and one shell."""
    parser = argparse.ArgumentParser(description="Follow pages to the letter, in one shell.")
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--timeout", type=float, default=1800.0, metavar="SECONDS")
    arguments = parser.parse_args()
    steps = [step for page in arguments.pages for step in steps_of(page.read_text("utf-8"))]
    troubles = follow(steps, Path.cwd(), os.environ, arguments.timeout)
    for trouble in troubles:
        print(trouble)
    count = sum(isinstance(step, Command) for step in steps)
    print(f"{count} commands of {', '.join(map(str, arguments.pages))}")
    return bool(troubles)


if __name__ == "__main__":
    sys.exit(main())
