"""The page of several runs in a browser, made by the command."""

from __future__ import annotations

import copy
import json

import pytest

from pytest_microtvm.command.main import main
from tests.browser.records import BOARDS, MODELS, records

pages = pytest.importorskip("tests.browser.pages", reason="install it: pip install playwright")

SHOWN = "#table tbody tr:not([hidden])"
RUNS = 5


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A folder of runs; in the last one a model takes more flash on a board."""
    folder = tmp_path_factory.mktemp("nightly")
    made = [each for each in records() if each["board"] in BOARDS[:3]]
    for number in range(1, RUNS + 1):
        if number == RUNS:
            made = copy.deepcopy(made)
            made[0]["metrics"]["flash_bytes"]["value"] += 64
        document = {"version": 2, "records": made}
        (folder / f"2030-01-{number}.json").write_text(json.dumps(document))
    return folder


def test_growth_is_told_and_drawn(browser, history, tmp_path, keep_screenshot):
    page = tmp_path / "trends.html"
    assert main(["report", str(history), "--html", str(page)]) == 0
    with pages.opened(browser, page) as found:
        keep_screenshot(found.page, "trends-light")
        found.page.uncheck("input[value=same]")
        (row,) = found.texts(SHOWN)
        assert row.split("\t")[1:] == ["Flash", "90,000", "90,064", "+0.07%"]
        found.page.check("input[value=same]")
        assert len(found.texts(SHOWN)) > 3 * len(MODELS)
        assert found.page.locator("#trends-chart svg").count() == 1
        assert found.findings() == []
        assert found.complaints == []
        assert found.requests == []


def test_one_file_makes_the_page_of_that_run(browser, history, tmp_path):
    page = tmp_path / "one.html"
    assert main(["report", str(history / "2030-01-1.json"), "--html", str(page)]) == 0
    with pages.opened(browser, page) as found:
        assert len(found.texts(SHOWN)) == 3 * len(MODELS) * 2
        assert found.complaints == []


def test_what_is_no_record_is_one_line(capsys, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    arguments = ["report", str(tmp_path / "a.json"), "--html", str(tmp_path / "b.html")]
    assert main(arguments) == 2
    assert "is no file of records" in capsys.readouterr().err
    assert not (tmp_path / "b.html").exists()
