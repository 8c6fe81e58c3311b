import itertools
import json
from dataclasses import asdict
from typing import Any

import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.measure.metrics import Layer, Metric, Metrics
from pytest_microtvm.measure.record_files import (
    read_records,
    write_records,
)
from pytest_microtvm.measure.records import Record, merge_records


def record(**values):
    return Record("m.tflite", "host", "host", "aot", **values)


def test_a_record_keeps_the_worst_outcome_and_its_reason():
    one = record()
    for test, outcome, error in [
        ("b", "passed", None),
        ("z", "error", "late"),
        ("c", "error", "first"),
        ("a", "failed", "other"),
    ]:
        one.note_test(test, outcome, error)
    one.note_test("c", "error", "at the end")
    assert (one.outcome, one.error) == ("error", "first")
    assert [(test["id"], test["outcome"]) for test in one.tests] == [
        ("a", "failed"),
        ("b", "passed"),
        ("c", "error"),
        ("z", "error"),
    ]


def test_comparisons_add_up():
    one = record()
    verdicts = [one.verdict]
    for mismatched in (0, 1, 0):
        one.add_comparison(1, mismatched, 2.0 * mismatched)
        verdicts.append(one.verdict)
    assert (one.elements, one.mismatched, one.max_abs_diff) == (3, 1, 2.0)
    assert verdicts == [None, "match", "mismatch", "mismatch"]


def test_records_of_several_processes_merge():
    first = record(elements=4, cached={"mlf": False}, verdict="mismatch")
    first.note_test("test_b", "passed")
    second = record(elements=6, mismatched=1, cached={"mlf": True})
    second.note_test("test_a", "failed", "too slow")
    second.max_abs_diff = 2.0
    second.add_seconds("run", 1.5)
    other = Record("n.tflite", "host", "host", "aot")
    merged = merge_records([first, other, second])
    assert [r.model for r in merged] == ["m.tflite", "n.tflite"]
    assert (merged[0].outcome, merged[0].elements, merged[0].mismatched) == ("failed", 10, 1)
    assert (merged[0].verdict, merged[0].error) == ("mismatch", "too slow")
    assert [test["id"] for test in merged[0].tests] == ["test_a", "test_b"]
    assert merged[0].cached == {"mlf": False}
    assert merged[0].timings_s["run"] == 1.5


def run_of(instructions: float, latency_us: float, stack_bytes: float, **more: Any) -> Metrics:
    """The figures of one run."""
    return Metrics(
        flash_bytes=Metric(9, "bytes", "ELF"),
        instructions=Metric(instructions, "instructions", "plugin"),
        latency_us=Metric(latency_us, "us", "timer"),
        stack_bytes=Metric(stack_bytes, "bytes", "paint"),
        layers=(Layer("k", int(instructions) - 10, 16, 0),),
        **more,
    )


RUNS = (
    Metrics(flash_bytes=Metric(9, "bytes", "ELF"), absent={"latency_us": "not run"}),
    run_of(500, 7.0, 100),
    run_of(498, 5.0, 120, float_instructions=Metric(60, "instructions", "plugin")),
    run_of(512, 9.0, 90, float_instructions=Metric(40, "instructions", "plugin")),
)


@pytest.mark.parametrize("runs", list(itertools.permutations(RUNS)))
def test_figures_of_runs_merge_by_their_own_rules_in_any_order(runs):
    one, two, three, four = runs
    # One process that ran all, and two of which each ran some.
    alone, first, second = record(), record(), record()
    for metrics in runs:
        alone.add_metrics(metrics)
    for metrics in (one, two):
        first.add_metrics(metrics)
    for metrics in (three, four):
        second.add_metrics(metrics)
    (merged,) = merge_records([Record(**asdict(each)) for each in (first, second)])
    assert merged == alone
    figures = {name: (each["value"], each["samples"]) for name, each in alone.metrics.items()}
    assert figures == {
        "flash_bytes": (9, 1),
        "instructions": (512, 3),
        "float_instructions": (40, 2),
        "latency_us": (5.0, 3),
        "stack_bytes": (120, 3),
    }
    assert [layer["instructions"] for layer in alone.layers] == [502]
    assert alone.absent == {}


def test_layers_have_cycles_where_they_are_counted():
    uncounted, counted = record(), record()
    uncounted.add_metrics(run_of(500, 7.0, 100))
    assert "cycles" not in uncounted.layers[0]
    layers = (Layer("k", 490, 16, 0, 1200),)
    counted.add_metrics(Metrics(cycles=Metric(1300, "cycles", "simavr"), layers=layers))
    assert counted.layers[0]["cycles"] == 1200
    assert counted.figures().layers == layers
    assert counted.figures().cycles == 1300


def test_figures_are_properties_of_tests():
    one = record()
    one.add_metrics(RUNS[1])
    assert ("microtvm_instructions", 500) in one.properties()
    assert ("microtvm_board", "host") in one.properties()


def test_the_file_is_json_even_with_infinities(tmp_path):
    one = record(max_abs_diff=float("inf"))
    one.add_metrics(Metrics(arena_bytes=Metric(64, "bytes", "plan")))
    write_records(tmp_path / "new" / "r.json", [one])
    document = json.loads((tmp_path / "new" / "r.json").read_text(), parse_constant=pytest.fail)
    assert document["records"][0]["max_abs_diff"] == "inf"
    assert document["records"][0]["metrics"]["arena_bytes"]["value"] == 64
    assert list(tmp_path.glob("new/.*")) == []


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "r.json").mkdir()
    with pytest.raises(ConfigError, match="--microtvm-json"):
        write_records(tmp_path / "r.json", [record()])
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metrics", {"flash_bytes": {"value": float("nan"), "unit": "bytes"}}),
        ("metrics", {"flash_bytes": {"value": 10**400, "unit": "bytes"}}),
        ("metrics", {"flash_bytes": {"unit": "bytes"}}),
        ("metrics", None),
        ("layers", [{"kernel": "k"}]),
        ("layers", {"kernel": "k", "instructions": 1}),
        ("sizes", {"sections": {".text": 10}, "symbols": {}}),
        ("sizes", {"sections": {}}),
        ("arena", {"calls": [1]}),
        ("model", 1),
    ],
)
def test_what_does_not_look_like_a_record_is_refused(tmp_path, name, value):
    """A figure that is not a number would be within every limit."""
    path = tmp_path / "records.json"
    record = {"model": "m", "board": "b", "executor": "aot", name: value}
    path.write_text(json.dumps({"version": 2, "records": [record]}))
    with pytest.raises(ConfigError, match="is no file of records"):
        read_records(path, "--before")


def test_a_file_that_is_nested_without_end_is_refused(tmp_path):
    path = tmp_path / "records.json"
    path.write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="is no file of records: it is no JSON"):
        read_records(path, "--before")


def test_of_two_pictures_of_one_output_the_worse_stays():
    first, second = record(), record(board_bytes={"ram": 4}, arena={"calls": [], "blocks": []})
    first.add_pictures([{"output": "a", "mismatched": 1}, {"output": "b", "mismatched": 9}])
    second.add_pictures([{"output": "a", "mismatched": 2}, {"output": "b", "mismatched": 3}])
    (merged,) = merge_records([first, second])
    assert merged.pictures == [{"output": "a", "mismatched": 2}, {"output": "b", "mismatched": 9}]
    assert merged.to_json()["board_bytes"] == {"ram": 4}
    assert merged.to_json()["arena"] == {"calls": [], "blocks": []}


def test_a_record_without_anything_to_draw_does_not_name_it():
    assert not {"board_bytes", "arena", "pictures"} & set(record().to_json())
