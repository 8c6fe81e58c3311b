"""What grew, what shrank, and where."""

import copy
import json
from typing import Any

import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.measure.baseline import (
    DEFAULT_LIMITS,
    Baseline,
    changes,
    compare_runs,
    growth_report,
    parse_limits,
)
from pytest_microtvm.measure.baseline_files import updated_baseline
from pytest_microtvm.measure.metrics import METRICS, Layer, Metric, Metrics
from pytest_microtvm.measure.record_files import read_records, write_records
from pytest_microtvm.measure.records import Record


def record(model: str = "net.tflite", **figures: float) -> Record:
    made = Record(model, "board", "baremetal", "aot")
    metrics = {
        "flash_bytes": 1000.0,
        "ram_bytes": 500.0,
        "arena_bytes": 64.0,
        "instructions": 9000.0,
        "latency_us": 12.5,
        **figures,
    }
    found: dict[str, Any] = {
        name: Metric(value, "bytes", "test") for name, value in metrics.items()
    }
    layers = (Layer("tvmgen_net_conv_0", 6000, 10, 0), Layer("tvmgen_net_conv_1", 2000, 10, 0))
    made.add_metrics(Metrics(**found, layers=layers))
    made.sizes = {
        "sections": {
            ".text": {"bytes": 900, "memories": ["flash"]},
            ".data": {"bytes": 100, "memories": ["flash", "ram"]},
            ".bss": {"bytes": 400, "memories": ["ram"]},
        },
        "symbols": {
            "tvmgen_net_conv_0": {"bytes": 300, "section": ".text", "layer": "conv_0"},
            "tvmgen_net_data_0": {"bytes": 200, "section": ".text", "layer": "conv_0"},
            "main": {"bytes": 100, "section": ".text", "layer": None},
            "state": {"bytes": 80, "section": ".data", "layer": None},
            "buffer": {"bytes": 400, "section": ".bss", "layer": None},
        },
    }
    return made


def grown(symbol: str, size: int, **figures: Any) -> Record:
    made = record(**figures)
    made.sizes["symbols"][symbol]["bytes"] += size
    made.sizes["sections"][made.sizes["symbols"][symbol]["section"]]["bytes"] += size
    return made


@pytest.mark.parametrize(
    ("symbol", "memory", "where"),
    [
        ("tvmgen_net_data_0", "flash", "layer conv_0, section .text, symbol tvmgen_net_data_0"),
        ("main", "flash", "section .text, symbol main"),
        ("state", "flash", "section .data, symbol state"),
        ("state", "ram", "section .data, symbol state"),
        ("buffer", "ram", "section .bss, symbol buffer"),
    ],
)
def test_growth_names_layer_section_and_symbol(symbol, memory, where):
    now = grown(
        symbol, 64, **{f"{memory}_bytes": record().metrics[f"{memory}_bytes"]["value"] + 64}
    )
    [change] = changes(record(), now, DEFAULT_LIMITS)
    assert change.metric == f"{memory}_bytes"
    assert change.is_over
    assert change.where[0].startswith(f"{where}: +64 bytes, from ")
    assert len(change.where) == 1
    assert "grew by 64 bytes" in growth_report([change])
    assert growth_report(changes(now, record(), DEFAULT_LIMITS)) == ""  # it shrank


def test_what_no_symbol_names_is_told_by_its_section():
    now = record(flash_bytes=1012)
    now.sizes["sections"][".text"]["bytes"] += 12
    [change] = changes(record(), now, {})
    assert change.where == (
        "section .text, text and padding that no symbol names: +12 bytes, from 300 to 312",
    )
    assert not change.is_over


def test_a_symbol_of_a_baseline_may_have_no_layer():
    before, now = record(flash_bytes=1000), record(flash_bytes=1100)
    del before.sizes["symbols"]["main"]["layer"]
    now.sizes["symbols"]["main"]["bytes"] += 100
    (change,) = changes(before, now, {})
    assert "symbol main: +100 bytes" in change.where[0]


def test_more_instructions_name_the_layer():
    now = record(instructions=9500)
    now.layers[1]["instructions"] += 500
    [change] = changes(record(), now, DEFAULT_LIMITS)
    assert change.where == ("layer conv_1: +500 instructions, from 2,000 to 2,500",)


def test_many_places_are_cut():
    before, now = record(), record(flash_bytes=2000)
    for number in range(20):
        before.sizes["symbols"][f"f{number}"] = {"bytes": 10, "section": ".text", "layer": None}
        now.sizes["symbols"][f"f{number}"] = {"bytes": 20, "section": ".text", "layer": None}
    [change] = changes(before, now, {})
    assert len(change.where) == 7
    assert change.where[-1].endswith("more places")


@pytest.mark.parametrize(
    ("line", "before", "now", "is_allowed"),
    [
        ("flash_bytes = 1%", 1000, 1010, True),
        ("flash_bytes = 1%", 1000, 1011, False),
        ("flash_bytes = 0.5 %", 1000, 1005, True),
        ("flash_bytes = 0", 1000, 1000, True),
        ("flash_bytes = 0", 1000, 1001, False),
        ("flash_bytes=1_000", 1000, 2000, True),
        ("flash_bytes=1_000", 1000, 2001, False),
        ("flash_bytes = 0", 1000, 1, True),
    ],
)
def test_limits_are_shares_or_numbers(line, before, now, is_allowed):
    limits = parse_limits([line], METRICS)
    assert limits["flash_bytes"].allows(before, now) == is_allowed


@pytest.mark.parametrize(
    "line", ["flash_bytes", "flash_bytes = -1", "flash_bytes = x%", "size = 1"]
)
def test_limits_that_cannot_be_read(line):
    with pytest.raises(ConfigError, match="the limit"):
        parse_limits([line], METRICS)


def test_the_same_run_never_fails():
    baseline = Baseline({record().key: record()}, DEFAULT_LIMITS)
    for _ in range(20):
        assert baseline.growth(record(latency_us=99.0)) == ""
    assert baseline.notes([record()], {"net.tflite": "net"}) == []


def test_shrinkage_is_told():
    baseline = Baseline({record().key: grown("main", 64, flash_bytes=1064)}, DEFAULT_LIMITS)
    [note] = baseline.notes([record()], {"net.tflite": "net"})
    assert note.startswith("net on board, aot: flash_bytes shrank by 64 bytes, from 1,064 to 1,000")
    assert "symbol main: -64 bytes" in note


def test_a_baseline_is_sorted_and_changes_by_the_lines_that_changed(tmp_path):
    path = tmp_path / "baseline.json"
    records = [record("b.tflite"), record("a.tflite")]
    path.write_text(updated_baseline(path, records, {}, "--x"))
    text = path.read_text()
    document = json.loads(text)
    assert [each["model"] for each in document["records"]] == ["a.tflite", "b.tflite"]
    assert "latency_us" not in document["records"][0]["metrics"]
    assert updated_baseline(path, records, {}, "--x") == text
    one = record("a.tflite", flash_bytes=1064)
    one.sizes["symbols"]["main"]["bytes"] += 64
    changed = updated_baseline(path, [one], {}, "--x").splitlines()
    assert [line for line in changed if line not in text.splitlines()] == [
        '        "flash_bytes": {"value": 1064, "unit": "bytes"},',
        '          "main": {"bytes": 164, "section": ".text", "layer": null},',
    ]
    with_latency = json.loads(updated_baseline(path, records, {"latency_us": 1}, "--x"))
    assert with_latency["records"][0]["metrics"]["latency_us"]["value"] == 12.5
    assert read_records(path, "--x")[0].key == ("a.tflite", "board", "aot")


def test_an_update_keeps_comments_and_what_was_not_measured(tmp_path):
    path = tmp_path / "baseline.json"
    write_records(path, [record("a.tflite"), record("b.tflite")])
    document = json.loads(path.read_text())
    document["comment"] = "agreed in May"
    document["records"][0]["comment"] = "for the old board"
    document["records"][0]["metrics"]["flash_bytes"]["comment"] = "since the softmax"
    path.write_text(json.dumps(document))
    failed = Record("b.tflite", "board", "baremetal", "aot", outcome="error")
    new = record("a.tflite", flash_bytes=5.0)
    found = json.loads(updated_baseline(path, [new, failed], {}, "--x"))
    assert found["comment"] == "agreed in May"
    assert [each.get("comment") for each in found["records"]] == ["for the old board", None]
    flash = found["records"][0]["metrics"]["flash_bytes"]
    assert flash == {"value": 5, "unit": "bytes", "comment": "since the softmax"}
    assert found["records"][1]["metrics"]["flash_bytes"]["value"] == 1000


def test_two_runs_are_compared():
    before = [record("a.tflite"), record("gone.tflite")]
    now = copy.deepcopy(before[:1])
    now[0].metrics["flash_bytes"]["value"] += 20
    now.append(record("new.tflite"))
    found = compare_runs(before, now, parse_limits(["flash_bytes = 1%"], METRICS))
    assert found.is_over
    data = found.to_json()
    assert [(each["model"], each["metric"], each["now"]) for each in data["changes"]] == [
        ("a.tflite", "flash_bytes", 1020)
    ]
    assert {each["model"]: each["in"] for each in data["only_one"]} == {
        "gone.tflite": "the first",
        "new.tflite": "the second",
    }
    assert not compare_runs(before, before, DEFAULT_LIMITS).is_over


def test_records_of_version_1_are_read(tmp_path):
    path = tmp_path / "old.json"
    old = {
        "model": "m.tflite",
        "board": "host",
        "platform": "host",
        "executor": "aot",
        "outcome": "passed",
        "max_abs_diff": "inf",
        "metrics": {"flash_bytes": {"value": 3, "unit": "bytes", "source": "ELF", "samples": 1}},
    }
    path.write_text(json.dumps({"version": 1, "records": [old]}))
    [found] = read_records(path, "--x")
    assert found.metrics["flash_bytes"]["value"] == 3
    assert found.max_abs_diff == float("inf")
