"""What a cold matrix costs beside another revision, and the build of one firmware by its parts.

Both run every model on every board with every executor from an empty cache. Figures are seconds of
processor time, of all processes together: they hardly depend on what else the machine does.

A firmware is built when its board and executor are known and its model is not: its objects are
thrown away and made again, after those of another model of the board have been kept.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scripts.benchmarks.processes import processor_seconds, run_quietly

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "conftest_examples" / "models"
BEFORE = "89bf2d8"
BOARDS = "qemu_x86,mps2_an385,mps2_an386,mps2_an500,qemu_riscv32,qemu_riscv64"
MATRIX_LIMIT = 0.5
BUILD_LIMIT_S = 1.0
TIMEOUT_S = 3600.0
PLUGIN = re.compile(r'^\[project\.entry-points\.pytest11\]\nmicrotvm = "(.+)"$', re.MULTILINE)
FIRST_MODEL, BUILT_MODEL = "sine_int8", "keyword_int8"
BUILT_BOARD, BUILT_EXECUTOR = "mps2_an386", "aot"


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench cold`."""
    parser = commands.add_parser("cold", help="a cold matrix beside another revision's")
    parser.add_argument(
        "--revision", default=BEFORE, help=f"that it is held to (default {BEFORE}); none: no other"
    )
    parser.add_argument("--boards", default=BOARDS, help=f"default: {BOARDS}")
    parser.add_argument("--executors", default="aot,graph")
    parser.add_argument("--workers", type=int, default=0, help="of pytest-xdist (default 0)")
    parser.add_argument("--build-only", action="store_true", help="no matrix")
    parser.add_argument(
        "--models",
        type=Path,
        nargs="+",
        default=sorted(EXAMPLES.glob("*.tflite")),
        metavar="PATH",
        help="model files (default: those of conftest_examples)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, and compare with the limits."""
    with tempfile.TemporaryDirectory() as name, _trees(arguments.revision, Path(name)) as trees:
        directory = Path(name)
        for tree in trees.values():
            subprocess.run(
                [sys.executable, "-m", "compileall", "-q", str(tree / "pytest_microtvm")],
                check=True,
            )
        built_s = {
            title: _build_seconds(tree, directory / f"build-{title}")
            for title, tree in trees.items()
        }
        kept = [_judge(f"firmware of {BUILT_MODEL}, s", built_s["this tree"], BUILD_LIMIT_S)]
        if not arguments.build_only:
            matrix_s = {
                title: _matrix_seconds(tree, directory / f"matrix-{title}", arguments)
                for title, tree in trees.items()
            }
            others = [seconds for title, seconds in matrix_s.items() if title != "this tree"]
            for other_s in others:
                kept.append(
                    _judge("matrix / before", matrix_s["this tree"] / other_s, MATRIX_LIMIT)
                )
    return 0 if all(kept) else 1


@contextlib.contextmanager
def _trees(revision: str, directory: Path) -> Iterator[dict[str, Path]]:
    """The trees that are compared, by what they are called; this one is the last."""
    if revision == "none":
        yield {"this tree": ROOT}
        return
    other = directory / "other"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(other), revision], check=True)
    try:
        yield {revision: other, "this tree": ROOT}
    finally:
        subprocess.run([*git, "remove", "--force", str(other)], check=True)


def _matrix_seconds(tree: Path, directory: Path, arguments: argparse.Namespace) -> float:
    """Run the matrix; the processor time that it took."""
    options = [
        f"--microtvm-board={arguments.boards}",
        f"--microtvm-executor={arguments.executors}",
        *([f"-n{arguments.workers}"] if arguments.workers else []),
    ]
    seconds, counts = _pytest(tree, directory, arguments.models, options)
    archives = len(list((directory / "cache" / "mlf").iterdir()))
    print(f"{directory.name}: {seconds:.1f} s of processor time, {archives} archives; {counts}")
    return seconds


def _build_seconds(tree: Path, directory: Path) -> float:
    """Build a firmware whose board and executor are known; what that took, of which it prints."""
    options = [f"--microtvm-board={BUILT_BOARD}", f"--microtvm-executor={BUILT_EXECUTOR}"]
    models = [EXAMPLES / f"{model}.tflite" for model in (FIRST_MODEL, BUILT_MODEL)]
    _pytest(tree, directory, models, options)
    first, project = (_project(directory / "cache", model) for model in (FIRST_MODEL, BUILT_MODEL))
    environment = {
        **os.environ,
        "COMPILER_LAUNCHER": "ccache" if shutil.which("ccache") else "",
        "CCACHE_DIR": str(directory / "objects"),
        "CCACHE_NOHASHDIR": "1",
    }
    for built in (first, project):
        shutil.rmtree(built / "build")
    if (tree / "docs" / "adr" / "0043-ccache.md").is_file():  # before, every build compiled all
        _make(first, environment, "all")
    parts = {
        part: _make(
            project,
            environment,
            *(f"build/{path.relative_to(project)}.o" for path in project.glob(f"{folder}/*.c")),
        )
        for part, folder in (
            ("the model's code", "codegen/host/src"),
            ("the runtime", "runtime/src"),
        )
    }
    parts["drivers, main, link"] = _make(project, environment, "all")
    total_s = sum(parts.values())
    told = ", ".join(f"{part} {seconds:.2f}" for part, seconds in parts.items())
    print(f"{directory.name}: {total_s:.2f} s of processor time: {told}")
    return total_s


def _project(cache: Path, model: str) -> Path:
    """The project of a model for the board whose firmware is built."""
    for entry in (cache / "firmware").iterdir():
        project = entry / "project"
        board = json.loads((project / "board.json").read_text())
        if board["name"] == BUILT_BOARD and list(project.glob(f"codegen/host/src/{model}_*.c")):
            return project
    raise SystemExit(f"no project of {model} for {BUILT_BOARD}")


def _make(project: Path, environment: dict[str, str], *targets: str) -> float:
    """Make something in a project; the processor time that it took."""
    before = processor_seconds()
    variables = {**environment, "CCACHE_BASEDIR": str(project)}
    subprocess.run(["make", "-s", *targets], cwd=project, env=variables, check=True)
    return processor_seconds() - before


def _pytest(
    tree: Path, directory: Path, models: list[Path], options: list[str]
) -> tuple[float, str]:
    """Run models with a tree's plugin from an empty cache; the time, and what came out."""
    directory.mkdir()
    found = PLUGIN.search((tree / "pyproject.toml").read_text())
    assert found is not None
    command = [
        *(sys.executable, "-m", "pytest", "-p", "xdist", "-p", found[1], "-p", "no:cacheprovider"),
        *(f"--microtvm-cache-dir={directory / 'cache'}", *options),
        *(str(model.resolve()) for model in models),
    ]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment.pop("CCACHE_DIR", None)
    before = processor_seconds()
    result = run_quietly(command, directory, environment, TIMEOUT_S)
    if result.returncode != 0:
        raise SystemExit(result.stdout)
    return processor_seconds() - before, result.stdout.strip().splitlines()[-1].strip("= ")


def _judge(what: str, value: float, limit: float) -> bool:
    kept = value <= limit
    print(f"  {what:28} {value:6.2f} (at most {limit:g}: {'kept' if kept else 'MISSED'})")
    return kept
