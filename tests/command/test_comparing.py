"""`microtvm compare`."""

import json
from pathlib import Path

import pytest

from pytest_microtvm.measure.record_files import write_records
from tests.command.conftest import Microtvm
from tests.unit.measure.test_baseline import grown, record


@pytest.fixture
def runs(tmp_path):
    """The files of two runs, of which the second has 64 bytes more in a layer."""
    paths = (tmp_path / "a.json", tmp_path / "b.json")
    write_records(paths[0], [record()])
    write_records(paths[1], [grown("tvmgen_net_conv_0", 64, flash_bytes=1064)])
    return [str(path) for path in paths]


def test_what_changed_is_told_with_its_place(microtvm: Microtvm, runs: list[str]) -> None:
    out = microtvm("compare", *runs, status=0).out
    assert "net.tflite on board, aot:" in out
    assert "flash_bytes grew by 64 bytes" in out
    assert "layer conv_0, section .text, symbol tvmgen_net_conv_0" in " ".join(out.split())
    assert out.splitlines()[-1] == "1 of 1 changed"
    assert "0 of 1 changed" in microtvm("compare", runs[0], runs[0], status=0).out


def test_a_limit_decides_the_exit_status(microtvm: Microtvm, runs: list[str]) -> None:
    microtvm("compare", *runs, "--limit", "flash_bytes=10%", status=0)
    ended = microtvm("compare", *runs, "--limit", "flash_bytes=1%", "--json", status=1)
    [change] = json.loads(ended.out)["changes"]
    assert (change["metric"], change["is_over"]) == ("flash_bytes", True)


def test_what_is_no_file_of_records_is_told(microtvm: Microtvm, runs: list[str]) -> None:
    assert "cannot read none.json" in microtvm("compare", runs[0], "none.json", status=2).err
    assert "the limit 'x'" in microtvm("compare", *runs, "--limit", "x", status=2).err


def test_both_runs_are_a_page(microtvm: Microtvm, runs: list[str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    microtvm("compare", *runs, "--html", str(page), status=0)
    text = page.read_text()
    assert "a.json and b.json" in text
    assert "1064" in text
