"""What a run prints for a person."""

from __future__ import annotations

from typing import Any

from pytest_microtvm.measure.metrics import Layer, Metric, Metrics
from pytest_microtvm.measure.records import Record
from pytest_microtvm.report.tables import run_report


def figure(value: float, unit: str = "bytes") -> Metric:
    return Metric(value, unit, "test")


def record(executor: str = "aot", **metrics: Any) -> Record:
    made = Record("models/net.tflite", "board", "baremetal", executor, outcome="passed")
    made.set_metrics(Metrics(**metrics))
    return made


MEASURED: dict[str, Any] = {
    "flash_bytes": figure(30_000),
    "flash_constants_bytes": figure(20_000),
    "flash_graph_bytes": figure(0),
    "flash_other_bytes": figure(10_000),
    "stack_bytes": figure(612),
    "instructions": figure(2000, "instructions"),
    "latency_us": figure(1234.5, "us"),
}
LAYERS = (
    Layer("tvmgen_net_conv", 1500, 500, 64),
    Layer("tvmgen_net_softmax", 400, None, 0),
)


def report(*records: Record, verbose: bool = False, layers: bool = False) -> list[list[str]]:
    lines = run_report(records, verbose=verbose, layers=layers)
    return [line.split() for line in lines]


def test_a_row_has_the_figures_that_matter_most():
    headings, row = report(record(**MEASURED))
    cells = dict(zip(headings, row, strict=False))
    assert cells["FLASH"] == "30,000"
    assert cells["RAM"] == cells["ARENA"] == "-"
    assert cells["STACK"] == "612"
    assert cells["INSTRUCTIONS"] == "2,000"
    assert row[-2:] == ["1.234", "ms"]


def test_what_was_skipped_is_told_with_its_reason():
    skipped = Record("models/net.tflite", "small", "baremetal", "aot")
    skipped.worsen("skipped", "small: model too large: needs 20 bytes of RAM, small has 16")
    lines = list(run_report([record(**MEASURED), skipped], verbose=False, layers=False))
    assert lines[-1] == (
        "net.tflite (aot) was skipped: small: model too large: needs 20 bytes of RAM, small has 16"
    )
    assert lines[-2] == ""


def test_more_words_tell_where_the_flash_goes_and_what_is_absent():
    reason = {"instructions": "no compiler"}
    lines = report(record(**MEASURED), record("graph", absent=reason), verbose=True)
    assert ["MODEL", "BOARD", "EXECUTOR", "FLASH", "CONSTANTS", "OTHER"] in lines
    assert ["net.tflite", "board", "aot", "30,000", "20,000", "10,000"] in lines
    assert ["no", "instructions", "of", "board:", "no", "compiler"] in lines


def test_layers_are_rows_with_their_share():
    lines = report(record(**MEASURED, layers=LAYERS), layers=True)
    bar = "#" * 30
    assert ["conv", "1,500", "75.0%", "500", "3.00", "64", bar] in lines
    assert ["softmax", "400", "20.0%", "-", "-", "0", "#" * 8] in lines
    assert ["(executor)", "100", "5.0%", "-", "-", "-"] in lines


def test_a_model_of_one_layer_has_a_table():
    lines = report(record(**MEASURED, layers=LAYERS[:1]), layers=True)
    assert "1,500" in lines[-2]


def test_without_counts_layers_are_a_reason():
    lines = report(record(absent={"instructions": "no compiler"}), layers=True)
    assert lines[-1][-2:] == ["no", "compiler"]


def test_models_of_one_name_are_told_apart_by_their_folders() -> None:
    records = [
        Record(model, "board", "baremetal", "aot")
        for model in ("one/deep/net.tflite", "/other/deep/net.tflite", "net.tflite", "own.tflite")
    ]
    models = [line[0] for line in report(*records)[1:]]
    assert models == ["one/deep/net.tflite", "other/deep/net.tflite", "net.tflite", "own.tflite"]
