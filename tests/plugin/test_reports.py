"""Reports from outside: a hook that gets all records of a run at its end."""

import shutil

import pytest

from tests.plugin.running import MODELS

WRITES = """
from pathlib import Path

def pytest_microtvm_report(config, records):
    with (config.rootpath / "report.txt").open("a") as file:
        file.write(f"{len(records)} records\\n")
        for record in records:
            flash = record.metrics["flash_bytes"]["value"]
            file.write(f"{record.model} {record.executor} {record.outcome} {flash > 0}\\n")
"""
FAILS = """
def pytest_microtvm_report(records):
    raise RuntimeError("the wall has no room")
"""
REFUSES = """
from pytest_microtvm.errors import ConfigError

def pytest_microtvm_report(records):
    raise ConfigError("cannot write on the wall", cure="move the picture")
"""


@pytest.fixture
def sine(workspace):
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")
    return workspace / "sine.tflite"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_report_is_written_once_with_the_records_of_all_processes(
    run_pytest, workspace, sine, workers
):
    (workspace / "conftest.py").write_text(WRITES)
    run_pytest(
        f"-n{workers}",
        sine.name,
        "--microtvm-board=host",
        "--microtvm-executor=graph,aot",
        status=0,
    )
    assert (workspace / "report.txt").read_text().splitlines() == [
        "2 records",
        "sine.tflite graph passed True",
        "sine.tflite aot passed True",
    ]


@pytest.mark.parametrize(
    ("conftest", "line"),
    [
        (FAILS, "a hook that takes the run's records failed: RuntimeError: the wall has no room"),
        (REFUSES, "cannot write on the wall; move the picture"),
    ],
)
def test_a_report_that_fails_is_told_and_the_others_are_written(
    run_pytest, workspace, sine, conftest, line
):
    (workspace / "conftest.py").write_text(conftest)
    outcome = run_pytest(sine.name, "--microtvm-board=host", "--microtvm-build-only", status=3)
    assert outcome.lines(f"ERROR: {line}")
    assert [record["outcome"] for record in outcome.records] == ["built"]
