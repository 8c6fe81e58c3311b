"""The GitHub action at the repository's root."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.plugin.running import MODELS, plugin_environment

ROOT = Path(__file__).parents[2]
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


@pytest.fixture(scope="module")
def action():
    return yaml.safe_load((ROOT / "action.yml").read_text())


def steps(action, key):
    return [step for step in action["runs"]["steps"] if key in step]


def test_it_is_a_composite_action_as_github_takes_it(action):
    # The keys that GitHub's metadata syntax knows.
    assert set(action) <= {"name", "description", "author", "inputs", "outputs", "runs", "branding"}
    assert action["runs"]["using"] == "composite"
    for name, given in action["inputs"].items():
        assert set(given) <= {"description", "required", "default"}, name
        assert given["description"]
        assert given.get("required") or isinstance(given["default"], str), name
    for step in action["runs"]["steps"]:
        assert set(step) <= {
            "name",
            "id",
            "if",
            "run",
            "shell",
            "uses",
            "with",
            "env",
            "working-directory",
        }
        assert ("run" in step) != ("uses" in step)
        assert "run" not in step or step["shell"] == "bash"


def test_every_input_is_used_and_every_one_that_is_used_is_there(action):
    used = set(re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text()))
    assert used == set(action["inputs"])


def test_nothing_from_outside_is_pasted_into_a_script(action):
    for step in steps(action, "run"):
        assert not EXPRESSION.search(step["run"])
        subprocess.run(["bash", "-n", "-c", step["run"]], check=True)


def test_its_last_script_runs_models_and_leaves_a_report(action, workspace, shared_cache, tmp_path):
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")
    step = next(step for step in steps(action, "run") if step.get("id") == "test")
    (tmp_path / "microtvm-cache").symlink_to(shared_cache)
    given = {"boards": "host", "tests": "sine.tflite", "arguments": "-p no:labgrid"}
    variables = {
        name: given.get(EXPRESSION.sub(r"\1", text).removeprefix("inputs."), "")
        for name, text in step["env"].items()
    }
    output, page = tmp_path / "output", tmp_path / "page"
    environment = plugin_environment(
        **variables,
        RUNNER_TEMP=str(tmp_path),
        GITHUB_OUTPUT=str(output),
        GITHUB_STEP_SUMMARY=str(page),
        PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    )
    ended = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", step["run"]],
        cwd=workspace,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = Path(output.read_text().strip().removeprefix("report="))
    assert sorted(path.name for path in report.iterdir()) == [
        "junit.xml",
        "records.json",
        "report.html",
        "report.md",
    ]
    assert page.read_text() == (report / "report.md").read_text()
