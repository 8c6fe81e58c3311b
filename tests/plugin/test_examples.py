"""Every folder of conftest_examples/ does what its README says."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from pytest_microtvm.boards import load_boards
from tests.boards import toolchain_of
from tests.contract.running import need_tools
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
    outcome = run_pytest(f"--microtvm-board={board}", *models, env={"COLUMNS": "80"}, status=0)
    if board == "qemu_x86":
        readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
        integer = [name for name in models if name.endswith("_int8.tflite")]
        shown = run_pytest(f"--microtvm-board={board}", *integer, env={"COLUMNS": "80"}, status=0)
        assert shape_of_table(readme) == shape_of_table(shown.output)
    assert outcome.records is not None
    assert {Path(record["model"]).name for record in outcome.records} == set(models)
    assert {record["outcome"] for record in outcome.records} == {"passed"}


def shape_of_table(text: str) -> list[str]:
    """What a run shows at its end, less the figures: compilers of other releases have others."""
    section = text[text.index("= microtvm =") :].split("\n", 1)[1]
    table = section[: section.index("\n=====")].rstrip()  # pytest may add an empty line
    return [re.sub(r"\b[\d,.]+\b", "0", " ".join(line.split())) for line in table.splitlines()]


@pytest.mark.example("basic")
def test_basic(run_pytest: RunPytest) -> None:
    outcome = run_pytest(status=0)
    assert "6 passed" in outcome.summary


@pytest.mark.example("firmware")
def test_firmware(run_pytest: RunPytest) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is missing; install it: apt-get install cmake")
    need_tools(load_boards()["mps2_an386"])
    outcome = run_pytest(status=0)
    assert "1 passed" in outcome.summary


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


@pytest.mark.example("executors")
def test_executors(run_pytest: RunPytest) -> None:
    outcome = run_pytest(status=0)
    assert "8 passed" in outcome.summary
    assert outcome.records is not None
    assert {record["reference"] for record in outcome.records} == {"graph"}


@pytest.mark.example("model_folder")
def test_model_folder(run_pytest: RunPytest, workspace: Path, tmp_path: Path) -> None:
    outcome = run_pytest(status=0)
    assert "5 passed, 3 skipped" in outcome.summary
    own = tmp_path / "own" / "deeper"
    own.mkdir(parents=True)
    shutil.copy(workspace.parent / "models" / "sine_int8.tflite", own / "mine.tflite")
    outcome = run_pytest(f"--models={own.parent}", status=0)
    assert outcome.records is not None
    assert [Path(record["model"]).name for record in outcome.records] == ["mine.tflite"]


@pytest.mark.example("budgets")
def test_budgets(run_pytest: RunPytest, workspace: Path) -> None:
    need_tools(load_boards()["qemu_cortex_m3"])
    outcome = run_pytest(status=0)
    assert "2 passed" in outcome.summary
    assert outcome.records is not None
    budgets = workspace / "budgets.toml"
    text = budgets.read_text()
    for record in outcome.records:
        limits = re.split(rf"^\[qemu_cortex_m3.{Path(record['model']).stem}\]$", text, flags=re.M)[
            1
        ]
        for name in ("flash_bytes", "ram_bytes", "arena_bytes"):
            value = record["metrics"][name]["value"]
            limit = re.search(rf"^{name} = (.*)$", limits, re.MULTILINE)
            assert limit is not None
            # Neither so tight that the next release breaks it, nor so wide that nothing would.
            assert value <= int(limit[1].replace("_", "")) <= 2 * value
    budgets.write_text(re.sub(r"ram_bytes = .*", "ram_bytes = 1_000", text))
    outcome = run_pytest(status=1)
    assert "2 failed" in outcome.summary
    assert outcome.lines("of 1,000 bytes")


@pytest.mark.example("xdist")
def test_xdist(run_pytest: RunPytest) -> None:
    outcome = run_pytest(status=0)
    assert outcome.lines("2 workers")
    assert "24 passed" in outcome.summary


def ci_jobs(workspace: Path) -> dict[str, list[CiJob]]:
    """The jobs of both CI systems, their variables filled in."""
    github = yaml.safe_load((workspace / "github_actions.yml").read_text())
    job = github["jobs"]["board"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    jobs: dict[str, list[CiJob]] = {"github": [], "gitlab": []}
    for variables in job["strategy"]["matrix"]["include"]:
        jobs["github"].append(CiJob.make(variables, commands, "${{{{ matrix.{} }}}}"))
    job = yaml.safe_load((workspace / "gitlab_ci.yml").read_text())["board"]
    for entry in job["parallel"]["matrix"]:
        jobs["gitlab"].append(CiJob.make(entry, [*job["before_script"], *job["script"]], "${}"))
    return jobs


@dataclass(frozen=True)
class CiJob:
    """A job: its board, the packages that it installs, its test command, and all it runs."""

    board: str
    packages: frozenset[str]
    test: str
    commands: tuple[str, ...]

    @classmethod
    def make(cls, variables: dict[str, str], commands: list[str], reference: str) -> CiJob:
        filled = []
        for command in "\n".join(commands).splitlines():
            for name, value in variables.items():
                command = command.replace(reference.format(name), value)
            filled.append(command)
        (install,) = (each for each in filled if each.startswith("apt-get install"))
        (test,) = (each for each in filled if each.startswith("pytest "))
        return cls(
            board={name.lower(): value for name, value in variables.items()}["board"],
            packages=frozenset(word for word in install.split()[2:] if word[0] != "-"),
            test=test,
            commands=tuple(filled),
        )


@pytest.mark.example("ci_matrix")
def test_the_files_for_both_ci_systems_say_the_same(workspace: Path) -> None:
    jobs = ci_jobs(workspace)
    assert [(job.board, job.packages, job.test) for job in jobs["github"]] == [
        (job.board, job.packages, job.test) for job in jobs["gitlab"]
    ]
    boards = load_boards()
    for job in jobs["github"]:
        board = boards[job.board]
        emulator = board.emulator.install if board.emulator else ""
        for cure in filter(None, (toolchain_of(board)["install"], emulator)):
            assert set(cure.removeprefix("apt-get install ").split()) <= job.packages
        assert not any("$BOARD" in command or "${{" in command for command in job.commands)
        for command in job.commands:
            subprocess.run(["bash", "-n", "-c", command], check=True)


@pytest.mark.example("ci_matrix")
@pytest.mark.parametrize("number", range(3))
def test_what_a_ci_job_runs(run_pytest: RunPytest, workspace: Path, number: int) -> None:
    job = ci_jobs(workspace)["github"][number]
    need_tools(load_boards()[job.board])
    outcome = run_pytest(*shlex.split(job.test)[1:], status=0)
    assert "4 passed" in outcome.summary
    report = json.loads((workspace / f"report/{job.board}.json").read_text())
    assert {record["outcome"] for record in report["records"]} == {"passed"}
    assert (workspace / f"report/{job.board}.md").read_text().startswith("## microtvm\n")
    assert (workspace / f"report/{job.board}.html").is_file()
    junit = ElementTree.parse(workspace / f"report/{job.board}.xml").getroot()
    assert len(junit.findall(".//testcase")) == 4


@pytest.mark.example(".")
def test_the_test_in_the_readme(run_pytest: RunPytest, workspace: Path) -> None:
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    code = readme.split("```python\n")[1].split("```")[0]
    (workspace / "test_readme.py").write_text(code, encoding="utf-8")
    (workspace / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    outcome = run_pytest("--microtvm-board=qemu_x86,host", "test_readme.py", status=0)
    assert "2 passed" in outcome.summary
