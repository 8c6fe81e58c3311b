"""The walks of docs/porting.md, followed to the letter: each command of their console blocks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_microtvm.boards import load_boards
from tests.contract.running import need_tools
from tests.plugin.running import plugin_environment

ROOT = Path(__file__).parents[2]
PARTS = ("boards", "conftest_examples/models", "pytest_microtvm")
COMMAND_TIMEOUT_S = 240


def commands_of(heading: str) -> list[str]:
    """The commands below a heading, up to the next one."""
    text = (ROOT / "docs" / "porting.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = section.split("```console\n")[1:]
    lines = [line for block in blocks for line in block.split("```")[0].splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    return [line.removeprefix("$ ") for line in lines]


@pytest.fixture
def follow(tmp_path, shared_cache):
    """Follows a walk in a copy of this project; returns what each command printed."""
    tree, programs = tmp_path / "tree", tmp_path / "bin"
    for part in PARTS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, tree / part, ignore=ignored)
    shutil.copy(ROOT / "LICENSE", tree)  # which is in each archive
    programs.mkdir()
    for name, module in (
        ("pytest", "-m pytest -p no:cacheprovider"),
        (
            "microtvm",
            "-c 'import sys; from pytest_microtvm.command.main import main; sys.exit(main())'",
        ),
    ):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        (programs / name).chmod(0o755)

    def run(heading: str) -> list[str]:
        outputs = []
        for command in commands_of(heading):
            result = subprocess.run(
                ["sh", "-c", command],
                cwd=tree,
                env=plugin_environment(
                    PATH=f"{programs}{os.pathsep}{os.environ['PATH']}",
                    PYTHONPATH=str(tree),
                    XDG_CACHE_HOME=str(shared_cache),
                    MICROTVM_LEASES=str(tmp_path / "leases"),
                ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=COMMAND_TIMEOUT_S,
            )
            assert result.returncode == 0, f"{command}\n{result.stdout}"
            outputs.append(result.stdout)
        return outputs

    return run


def test_a_new_board(follow) -> None:
    need_tools(load_boards()["netduinoplus2"])
    outputs = follow("A new board in ten minutes")
    assert "my own" in outputs[2]
    assert "1 passed" in outputs[3]
    assert "my_board (my_board-1): flashed in" in outputs[4]
    assert "1 passed" in outputs[5]
    assert "nothing new" in outputs[6] or "added to" in outputs[6]


def test_a_new_platform(follow) -> None:
    need_tools(load_boards()["host"])
    outputs = follow("A new platform in an hour")
    assert [output.count("1 passed") for output in outputs[-2:]] == [1, 1]
    assert "host/sanitized" in outputs[-1]
