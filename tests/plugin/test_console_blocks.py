"""All pages, followed to the letter: each command of their console blocks."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_microtvm.boards import load_boards
from scripts.walk import Command, follow, steps_of
from tests.contract.running import need_tools
from tests.plugin.running import MODELS, plugin_environment

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 600.0

KEYWORD = MODELS / "keyword_int8.tflite"

# What a reader has before the first command, and the boards whose tools the page takes.
CLONE = ("boards", "conftest_examples/models", "pytest_microtvm", "LICENSE")
BOARDS = ("host", "mps2_an386")
PAGES: dict[str, tuple[str, ...]] = {
    "README.md": ("host", "qemu_x86", "mps2_an386"),
    "docs/coming_from_microtvm.md": ("qemu_x86",),
    "docs/command.md": BOARDS,
    "docs/howto_budgets.md": BOARDS,
    "docs/howto_ci.md": BOARDS,
    "docs/howto_debugging.md": BOARDS,
    "docs/howto_operator.md": BOARDS,
    "docs/misra.md": (),
    "docs/porting.md": ("host", "netduinoplus2"),
    "docs/product.md": BOARDS,
    "docs/reports.md": BOARDS,
    "docs/troubleshooting.md": BOARDS,
    "docs/tutorial.md": BOARDS,
    "docs/tutorial_keyword.md": BOARDS,
}
FROM_CLONE = ("docs/misra.md", "docs/porting.md", "docs/product.md")
IN_MODELS = ("README.md",)

# Commands that do not run here, by their beginning; what runs them, and a word of it. The tracker,
# the board and the client are three terminals that wait for each other.
ELSEWHERE = {
    "./scripts/demo": (".github/workflows/ci.yml", "./scripts/demo"),
    "./scripts/test": (".ci/run", "scripts/test"),
    "pytest --microtvm-board=available": ("tests/plugin/test_platforms.py", "board=available"),
    "pre-commit install": (".pre-commit-config.yaml", "repos"),
    "python -m tvm.exec.rpc_tracker": ("tests/command/test_serve.py", "rpc_tracker"),
    "microtvm tune kws.tflite": ("tests/api/test_tuning.py", '"tune"'),
    "microtvm compile kws.tflite --board mps2_an386 --tuning": (
        "tests/api/test_tuning.py",
        '"--tuning"',
    ),
    "microtvm serve p": ("tests/command/test_serve.py", '"serve"'),
    "microtvm run p --rpc-tracker": ("tests/command/test_serve.py", "--rpc-tracker"),
}
PROGRAMS = {"gdb": "gdb-multiarch", "cppcheck": "cppcheck", "qemu-system-arm": "qemu-system-arm"}


# Pages whose commands take what CI does not have, and the folder of the tests that run the same.
PAGES_ELSEWHERE = {
    "docs/arduino.md": "tests/arduino",
    "docs/freertos.md": "tests/freertos",
    "docs/zephyr.md": "tests/zephyr",
}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def all_pages() -> list[str]:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("conftest_examples/*.md")]
    return sorted(str(page.relative_to(ROOT)) for page in pages)


def runs_elsewhere(command: Command) -> bool:
    return any(command.text.startswith(start) for start in ELSEWHERE)


def commands_of(page: str) -> list[Command]:
    return [step for step in steps_of(text_of(page)) if isinstance(step, Command)]


def test_every_page_with_commands_is_followed():
    pages = [page for page in all_pages() if not all(map(runs_elsewhere, commands_of(page)))]
    assert pages == sorted([*PAGES, *PAGES_ELSEWHERE])
    assert all((ROOT / folder).is_dir() for folder in PAGES_ELSEWHERE.values())


def test_what_is_not_run_here_is_run_elsewhere():
    written = [command.text for page in all_pages() for command in commands_of(page)]
    for start, (file, word) in ELSEWHERE.items():
        assert any(command.startswith(start) for command in written)
        assert word in text_of(file)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """The programs of the package as installed ones, and installers that install nothing.

    The installers hold what a page has them install to what the project knows; a walk in a bare
    Debian (`scripts/tutorial`) has them install it.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    entry = "import sys; from pytest_microtvm.command.main import main; sys.exit(main())"
    known = f"{sys.executable} {Path(__file__).with_name('installers.py')}"
    for name, command in {
        "pytest": f"{sys.executable} -m pytest -p no:cacheprovider -p no:labgrid",
        "microtvm": f"{sys.executable} -c '{entry}'",
        "python": sys.executable,
        "apt-get": f"{known} apt-get",
        "pip": f"{known} pip",
        "python3": f"{known} python3",
    }.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def start(tmp_path: Path) -> Callable[[str], Path]:
    """Makes the folder that a page starts in."""

    def make(page: str) -> Path:
        folder = tmp_path / "start"
        if page in IN_MODELS:
            shutil.copytree(MODELS, folder)
        elif page in FROM_CLONE:
            for part in CLONE:
                if (ROOT / part).is_dir():
                    ignored = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(ROOT / part, folder / part, ignore=ignored)
                else:
                    shutil.copy(ROOT / part, folder)
        else:
            folder.mkdir()
        for name in ("kws.tflite", "kws_ref_model.tflite"):
            shutil.copy(KEYWORD, folder / name)
        return folder

    return make


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(page, start, programs, tmp_path, shared_cache):
    for board in PAGES[page]:
        need_tools(load_boards()[board])
    steps = [
        step
        for step in steps_of(text_of(page))
        if not (isinstance(step, Command) and runs_elsewhere(step))
    ]
    words = " ".join(step.text + " gdb" * bool(step.typed) for step in commands_in(steps)).split()
    for word, program in PROGRAMS.items():
        if word in words and shutil.which(program) is None:
            pytest.skip(f"{program} is missing; install it: apt-get install {program}")
    folder = start(page)
    environment = plugin_environment(
        PATH=f"{programs}{os.pathsep}{os.environ['PATH']}",
        PYTHONPATH=str(folder if page in FROM_CLONE else ROOT),
        HOME=str(tmp_path),
        XDG_CACHE_HOME=str(shared_cache),
        MICROTVM_LEASES=str(tmp_path / "leases"),
    )
    assert follow(steps, folder, environment, TIMEOUT_S) == []


def commands_in(steps: object) -> list[Command]:
    assert isinstance(steps, list)
    return [step for step in steps if isinstance(step, Command)]
