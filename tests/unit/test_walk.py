"""`scripts/walk.py`: a page that does not do what it says is found out."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from scripts.walk import follow, steps_of
from tests.patience import PATIENCE_S


def walk(folder: Path, *lines: str, timeout_s: float = 20.0) -> list[str]:
    page = "\n".join(["Text.", "", "```console", *lines, "```", ""])
    return follow(steps_of(page), folder, os.environ, timeout_s)


@pytest.mark.parametrize(
    "lines",
    [
        ["$ echo took 12.5 s", "took 3.1 s"],  # numbers may be others
        ["$ printf 'a\\nb\\nc\\n'", "a", "...", "c"],
        ["$ echo one; echo two", "one", "two"],
        ["$ echo 'at 0x2000 (x=1) in main.c'", "at 0x10 (...) in main"],
        ["$ x=3", "$ echo $x is there", "3 is there"],  # one shell
        ["$ false   # fails: on purpose"],
        ["$ echo first \\", "    second", "first second"],
        ["$ sleep 60 &", "$ echo done", "done"],
    ],
)
def test_a_page_that_is_right_is_followed(tmp_path, lines):
    start = time.monotonic()
    assert walk(tmp_path, *lines) == []
    assert time.monotonic() - start < PATIENCE_S  # nothing waits for what runs in the background


@pytest.mark.parametrize(
    ("lines", "trouble"),
    [
        (["$ echo a", "b"], "does not print"),
        (["$ printf 'a\\nb\\n'", "b", "a"], "does not print"),
        (["$ false"], "exit status 1"),
        (["$ true   # fails: it does not"], "exit status 0"),
        (["$ no_such_program"], "exit status 127"),
    ],
)
def test_a_page_that_is_wrong_is_told_with_its_line(tmp_path, lines, trouble):
    (found,) = walk(tmp_path, *lines)
    assert found.startswith("line 4: ")
    assert trouble in found


def test_a_command_that_does_not_end_is_ended(tmp_path):
    (found,) = walk(tmp_path, "$ sleep 60", timeout_s=0.5)
    assert "did not end" in found


def test_files_that_a_page_shows_are_written(tmp_path):
    page = '```python\n# tools/hello.py\nprint("$HOME")\n```\n\n```toml\na = 1\n```\n'
    assert follow(steps_of(page), tmp_path, os.environ, 10.0) == []
    assert (tmp_path / "tools" / "hello.py").read_text() == '# tools/hello.py\nprint("$HOME")\n'
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_typed_is_typed_on_a_terminal(tmp_path):
    lines = ["$ python3 -q -i", "(gdb) import sys; print('terminal', sys.stdin.isatty())"]
    assert walk(tmp_path, *lines, "terminal True") == []


def test_a_block_without_a_prompt_is_refused():
    with pytest.raises(ValueError, match="line 3"):
        steps_of("\n```console\nls\n```\n")
