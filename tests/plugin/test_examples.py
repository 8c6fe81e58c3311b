"""Every folder of conftest_examples/ does what its README says."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from tests.plugin.running import RunPytest

EXAMPLES = Path(__file__).parents[2] / "conftest_examples"


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A copy of the examples, which may be written to."""
    copy = tmp_path / "conftest_examples"
    shutil.copytree(
        EXAMPLES, copy, ignore=shutil.ignore_patterns("__pycache__", ".*", "history.csv")
    )
    return copy


@pytest.fixture
def workspace(request: pytest.FixtureRequest, examples: Path) -> Path:
    """Where `run_pytest` runs: the example that the test is marked with."""
    marker = request.node.get_closest_marker("example")
    path: Path = examples / marker.args[0]
    return path


def test_every_example_is_in_the_table_and_has_a_test() -> None:
    folders = {
        path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name[0] not in "._"
    }
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert {
        line.split("`")[1].rstrip("/") for line in table.splitlines() if "| `" in line
    } == folders
    tests = Path(__file__).read_text(encoding="utf-8")
    assert not [name for name in folders if f'mark.example("{name}")' not in tests]


@pytest.mark.example("models")
@pytest.mark.parametrize("board", ["host", "qemu_x86"])
def test_models(run_pytest: RunPytest, workspace: Path, board: str) -> None:
    models = sorted(path.name for path in workspace.glob("*.tflite"))
    outcome = run_pytest(f"--microtvm-board={board}", *models, status=0)
    assert outcome.records is not None
    assert {Path(record["model"]).name for record in outcome.records} == set(models)
    assert {record["outcome"] for record in outcome.records} == {"passed"}


@pytest.mark.example("basic")
def test_basic(run_pytest: RunPytest) -> None:
    outcome = run_pytest(status=0)
    assert "6 passed" in outcome.summary


@pytest.mark.example("own_board")
def test_own_board(run_pytest: RunPytest) -> None:
    outcome = run_pytest(status=0)
    assert outcome.records is not None
    assert [record["board"] for record in outcome.records] == ["small_pc"]


@pytest.mark.example("records")
def test_records(run_pytest: RunPytest, workspace: Path) -> None:
    for _ in range(2):
        run_pytest(status=0)
    with (workspace / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["sine_int8.tflite"] * 2
    assert {row["outcome"] for row in rows} == {"passed"}
    assert all(float(row["latency_us"]) > 0 for row in rows)


@pytest.mark.example(".")
def test_the_test_in_the_readme(run_pytest: RunPytest, workspace: Path) -> None:
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    code = readme.split("```python\n")[1].split("```")[0]
    (workspace / "test_readme.py").write_text(code, encoding="utf-8")
    (workspace / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    outcome = run_pytest("--microtvm-board=qemu_x86,host", "test_readme.py", status=0)
    assert "2 passed" in outcome.summary
