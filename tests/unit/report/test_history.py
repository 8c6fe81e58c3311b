"""Records of several runs, read from files."""

import json

import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.report.history import Run, read_runs, series_of


def record(flash: float, **figures: float) -> dict[str, object]:
    figures = {"flash_bytes": flash, **figures}
    metrics = {name: {"value": value, "unit": "bytes"} for name, value in figures.items()}
    return {"model": "m.tflite", "board": "b", "executor": "aot", "metrics": metrics}


def write(path, *records, version=2):
    path.write_text(json.dumps({"version": version, "records": records}))
    return path


def test_the_files_of_a_folder_are_in_the_order_of_their_names(tmp_path):
    for name in ("run-10", "run-9", "run-100"):
        write(tmp_path / f"{name}.json", record(1))
    assert [run.label for run in read_runs([tmp_path])] == ["run-9", "run-10", "run-100"]


def test_files_of_one_name_are_told_apart(tmp_path):
    files = []
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        files.append(write(tmp_path / folder / "r.json", record(1)))
    labels = [run.label for run in read_runs(files)]
    assert [label.split("/")[-2:] for label in labels] == [["old", "r"], ["new", "r"]]


def test_a_figure_is_a_series_with_its_change():
    runs = [
        Run("1", [record(100)]),
        Run("2", []),
        Run("3", [record(110, ram_bytes=5)]),
    ]
    flash, ram = series_of(runs)
    assert list(flash.values) == [100, None, 110]
    assert flash.change == pytest.approx(0.1)
    assert list(ram.values) == [None, None, 5]
    assert ram.change is None


def test_what_holds_no_records_is_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"version": 2, "records": [3]}')
    with pytest.raises(ConfigError, match="is no file of records"):
        read_runs([tmp_path / "a.json"])


def test_a_folder_without_records_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="has no records"):
        read_runs([tmp_path])
    with pytest.raises(ConfigError, match="cannot read"):
        read_runs([tmp_path / "missing.json"])
