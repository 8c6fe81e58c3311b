"""Platforms that do not come with this package: from a folder, from a hook, from a wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_microtvm.project import platform_directory
from tests.plugin.running import MODELS, RunPytest

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = Path(__file__).with_name("outside_platform")
PACKAGE = "acme_platforms"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The sources of another package; its platform has the C files of our `host`."""
    folder = tmp_path / "acme"
    shutil.copytree(OUTSIDE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    template = folder / PACKAGE / "platforms" / "direct"
    shutil.copytree(platform_directory("host") / "src", template / "src")
    return folder


@pytest.fixture
def model(workspace: Path) -> str:
    shutil.copy(MODELS / "sine_int8.tflite", workspace)
    return "sine_int8.tflite"


def test_a_platform_and_a_board_from_a_wheel(
    run_pytest: RunPytest, model: str, package: Path, tmp_path: Path
) -> None:
    pytest.importorskip("hatchling", reason="hatchling is missing: pip install -e .[dev]")
    wheels, site = tmp_path / "wheels", tmp_path / "site"
    for source in (ROOT, package):
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
        subprocess.run(
            [*command, str(wheels), str(source)], check=True, capture_output=True, timeout=120
        )
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target"]
    subprocess.run(
        [*command, str(site), *map(str, wheels.iterdir())],
        check=True,
        capture_output=True,
        timeout=120,
    )
    outcome = run_pytest(
        model,
        "--microtvm-board=acme_pc",
        "--microtvm-platform=direct,host",
        "--microtvm-keep-projects",
        "-v",
        env={"PYTHONPATH": str(site)},
        status=0,
    )
    assert "aot[acme_pc] PASSED" in outcome.output
    assert "aot[acme_pc/host] PASSED" in outcome.output
    assert outcome.records is not None
    assert [(each["board"], each["platform"]) for each in outcome.records] == [
        ("acme_pc", "direct"),
        ("acme_pc/host", "host"),
    ]
    # Sizes are known though the program is called as only its platform knows.
    sizes = [each["metrics"]["flash_bytes"]["value"] for each in outcome.records]
    assert all(size > 10_000 for size in sizes)
    kept = list((tmp_path / "project" / "microtvm_projects").iterdir())
    names = {path.name.rpartition("-aot-")[2] for path in kept}
    assert names == {"acme_pc", "acme_pc-host", "host"}  # the last one is the reference
    (direct,) = (path for path in kept if path.name.endswith("acme_pc"))
    assert (direct / "out" / "application").is_file()
    assert not (direct / "Makefile").exists()
    outcome = run_pytest(
        f"{model}::aot[acme_pc/host]",
        "--microtvm-board=acme_*",
        "--microtvm-platform=direct,host",
        "--collect-only",
        "-q",
        env={"PYTHONPATH": str(site)},
        status=0,
    )
    assert outcome.lines("aot[") == [f"{model}::aot[acme_pc/host]"]


def test_a_platform_from_a_folder_in_the_ini_file(
    run_pytest: RunPytest, model: str, package: Path, workspace: Path
) -> None:
    shutil.copytree(package / PACKAGE / "platforms", workspace / "mine")
    shutil.copytree(package / PACKAGE / "boards", workspace / "boards")
    (workspace / "pytest.ini").write_text(
        "[pytest]\nmicrotvm_platforms_dir = mine\nmicrotvm_boards_dir = boards\n"
    )
    outcome = run_pytest(model, "--microtvm-board=acme_pc", status=0)
    assert outcome.records is not None
    assert outcome.records[0]["platform"] == "direct"

    board = workspace / "boards" / "acme_pc.toml"
    board.write_text(board.read_text().replace('"-O1"', '"-O3"'))
    outcome = run_pytest(model, "--microtvm-board=acme_pc", status=1)
    assert f"{board}: direct.optimize must be one of -O1, -O2" in outcome.output
    board.write_text(board.read_text().replace("optimize", "optimise"))
    outcome = run_pytest(model, "--microtvm-board=acme_pc", status=1)
    assert f"ConfigError: acme_pc: {board}: unknown key direct.optimise" in outcome.output
    assert "the keys of direct are packet_bytes, optimize" in outcome.output


HOOK = """
from pathlib import Path

def pytest_microtvm_platform_directories(config):
    return [Path("mine/direct")]
"""


def test_a_platform_from_a_hook(
    run_pytest: RunPytest, model: str, package: Path, workspace: Path
) -> None:
    shutil.copytree(package / PACKAGE / "platforms", workspace / "mine")
    (workspace / "conftest.py").write_text(HOOK)
    boards = package / PACKAGE / "boards"
    outcome = run_pytest(
        model,
        f"--microtvm-boards-dir={boards}",
        "--microtvm-board=available",
        "--microtvm-platform=direct",
        "--collect-only",
        "-q",
        status=0,
    )
    assert outcome.lines("aot[") == [f"{model}::aot[acme_pc]"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--microtvm-board=host", "--microtvm-platform=toaster"], "there is no platform toaster"),
        (
            ["--microtvm-board=host", "--microtvm-platform=baremetal"],
            "board host has no table for the platform baremetal, only for host",
        ),
        (["--microtvm-board=acme_pc"], "no platform direct; choose from arduino, baremetal"),
        (["--microtvm-board=host", "--microtvm-platforms-dir=no"], "folder {here}/no does not ex"),
        (["--microtvm-board=host", "--microtvm-platforms-dir=."], "no platform in {here};"),
    ],
)
def test_what_is_not_there_is_told(
    run_pytest: RunPytest, model: str, workspace: Path, arguments: list[str], message: str
) -> None:
    boards = OUTSIDE / PACKAGE / "boards"
    outcome = run_pytest(model, f"--microtvm-boards-dir={boards}", *arguments, status=4)
    assert message.format(here=workspace) in outcome.output


def test_a_warm_verdict_starts_no_tool(
    run_pytest: RunPytest, model: str, tmp_path: Path, workspace: Path
) -> None:
    """What the tools of a board are is asked once: later runs look at their files."""
    log, programs = tmp_path / "log", tmp_path / "bin"
    programs.mkdir()
    for name in ("gcc", "make"):
        real = shutil.which(name)
        (programs / name).write_text(f'#!/bin/sh\necho {name} >>{log}\nexec {real} "$@"\n')
        (programs / name).chmod(0o755)
    path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    cache = tmp_path / "cache"
    run_pytest(model, "--microtvm-board=host", cache=cache, env=path, status=0)
    assert set(log.read_text().split()) == {"gcc", "make"}
    log.unlink()
    run_pytest(model, "--microtvm-board=host", cache=cache, env=path, status=0)
    assert not log.exists()
    (programs / "gcc").write_text((programs / "gcc").read_text() + "# new\n")
    run_pytest(model, "--microtvm-board=host", cache=cache, env=path, status=0)
    assert set(log.read_text().split()) == {"gcc"}  # asked again, and it is still the same


OLD_BOARD = """
name = "acme_old"
description = "a board of a platform that was written for TVM"

[cpu]
arch = "host"

[tvm_style]
anything = true
"""


def test_a_template_that_was_written_for_tvm(
    run_pytest: RunPytest, model: str, workspace: Path, tmp_path: Path
) -> None:
    template = tmp_path / "tvm_style"
    shutil.copytree(
        Path(__file__).with_name("tvm_style"),
        template,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copytree(platform_directory("host") / "src", template / "src")
    (workspace / "acme_old.toml").write_text(OLD_BOARD)
    arguments = (
        model,
        f"--microtvm-platforms-dir={template}",
        f"--microtvm-boards-dir={workspace}",
        "--microtvm-board=acme_old",
    )
    for _ in range(2):
        outcome = run_pytest(*arguments, status=0)
        assert outcome.records is not None
        (record,) = outcome.records
        assert record["platform"] == "tvm_style"
        # Nobody can tell whether the compiler is still the same: it is built in each run.
        assert record["cached"]["firmware"] is False
        assert "flash_bytes" not in record["metrics"]
    outcome = run_pytest(*arguments, "--microtvm-executor=graph", status=1)
    assert "platform tvm_style has no option executor" in outcome.output
