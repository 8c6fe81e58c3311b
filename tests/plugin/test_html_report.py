"""The HTML report of a run: what is in the file; tests/browser opens it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_microtvm.face.html_report import MAX_TEXT
from tests.plugin.running import MODELS

TESTS = """
import sys

import pytest


@pytest.mark.microtvm_model("sine.tflite")
def test_good(microtvm):
    print("the kettle is on")
    microtvm.check()


@pytest.mark.microtvm_model("sine.tflite")
def test_bad(microtvm):
    assert microtvm.metrics.flash_bytes.value < 1, "too large"


def test_without_a_board():
    assert "kettle" == "cold"
"""


@pytest.fixture
def project(workspace: Path) -> Path:
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")
    (workspace / "test_sine.py").write_text(TESTS)
    return workspace


def data_of(page: Path) -> dict[str, Any]:
    """What the page's charts are drawn from."""
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


@pytest.mark.parametrize("workers", [0, 2])
def test_it_has_each_test_with_its_words_and_the_way_to_repeat_it(run_pytest, project, workers):
    outcome = run_pytest(
        f"-n{workers}",
        "--microtvm-board=host",
        "--microtvm-html=out/report.html",
        "--microtvm-timeout=50",
        status=1,
    )
    assert outcome.lines("the report is in out/report.html")
    (row,) = data_of(project / "out" / "report.html")["rows"]
    assert (row["name"], row["board"], row["outcome"]) == ("sine.tflite", "host", "failed")
    assert row["told"] == "1 match"
    bad, good = row["tests"]
    assert good["outcome"] == "passed"
    assert "the kettle is on" in good["log"]
    assert good["seconds"] > 0
    assert bad["outcome"] == "failed"
    assert "too large" in bad["text"]
    text = (project / "out" / "report.html").read_text()
    assert "test_without_a_board" in text  # among what went wrong, though it used no board
    # What is told to repeat the test does.
    command = bad["command"].removeprefix("pytest ")
    assert "--microtvm-timeout=50" in command
    assert "report.html" not in command
    repeated = run_pytest(*shlex.split(command), status=1)
    assert repeated.lines("1 failed")
    assert not repeated.lines("2 failed")


def test_an_output_that_differs_is_drawn(run_pytest, project):
    (project / "test_sine.py").unlink()
    np.savez(project / "wrong.npz", y=np.full((1, 1), 99, np.int8))
    run_pytest(
        "sine.tflite",
        "--microtvm-board=host",
        "--microtvm-reference=wrong.npz",
        "--microtvm-html=report.html",
        status=1,
    )
    data = data_of(project / "report.html")
    (row,) = data["rows"]
    (picture,) = row["pictures"]
    assert (picture["output"], picture["mismatched"]) == ("y", 1)
    assert row["told"] == "1 of 1 differ"
    assert data["arenas"][row["arena"]]["calls"]
    (test,) = row["tests"]
    assert test["id"] == "sine.tflite::aot[host]"
    assert test["seconds"] > 0.05  # what was done to set it up counts


def test_a_log_of_any_length_fits(run_pytest, project):
    (project / "test_sine.py").write_text(
        "import pytest\n@pytest.mark.microtvm_model('sine.tflite')\n"
        "def test_chatty(microtvm):\n    print('word ' * 100_000)\n    microtvm.check()\n"
    )
    run_pytest("--microtvm-board=host", "--microtvm-html=report.html", status=0)
    (row,) = data_of(project / "report.html")["rows"]
    assert MAX_TEXT <= len(row["tests"][0]["log"]) < MAX_TEXT + 100


def test_a_page_that_cannot_be_written_ends_the_run_before_any_test(run_pytest_inside, project):
    (project / "folder").mkdir()
    outcome = run_pytest_inside("--microtvm-board=host", "--microtvm-html=folder", status=4)
    assert outcome.lines("folder: it is a folder; name another file with --microtvm-html")


def test_a_missing_library_is_named_with_its_cure(run_pytest_inside, project, monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    outcome = run_pytest_inside("--microtvm-board=host", "--microtvm-html=a.html", status=4)
    (line,) = outcome.lines("an HTML report needs the Python package vl_convert")
    assert line.endswith("pip install 'pytest-microtvm[html]'")
    assert not (project / "a.html").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_pytest_htmls_report_has_a_column_and_a_section(run_pytest, project, workers):
    run_pytest(
        "-p",
        "html",
        f"-n{workers}",
        "--microtvm-board=host",
        "--html=all.html",
        "--self-contained-html",
        status=1,
    )
    text = (project / "all.html").read_text()
    assert '<th class="sortable" data-column-type="microtvm">Board</th>' in text
    assert text.count("host, aot; Flash") >= 2
    assert "<h2>microtvm</h2>" in text
    assert "<td>sine.tflite</td><td>host</td><td>aot</td><td>✗ failed</td><td>1 match</td>" in text


def test_pytest_htmls_report_of_a_run_without_boards_is_as_ever(run_pytest, project):
    run_pytest("-p", "html", "--html=all.html", "--self-contained-html", cache=None)
    assert "microtvm</h2>" not in (project / "all.html").read_text()
