import json
from dataclasses import asdict

import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.measure.metrics import Layer, Metric, Metrics
from pytest_microtvm.measure.records import Record, merge_records, write_records


def record(**values):
    return Record("m.tflite", "host", "host", "aot", **values)


def test_a_record_keeps_the_worst_outcome_and_the_first_error():
    one = record()
    for outcome, error in [("passed", None), ("error", "first"), ("failed", None)]:
        one.worsen(outcome, error)
    one.worsen("error", "second")
    assert (one.outcome, one.error) == ("error", "first")


def test_comparisons_add_up():
    one = record()
    for value in (1, 3):
        one.add_comparison(1, int(value != 1), float(value - 1))
    assert (one.elements, one.mismatched, one.max_abs_diff) == (2, 1, 2.0)


def test_records_of_several_processes_merge():
    first = record(outcome="passed", elements=4, cached={"mlf": False})
    second = record(outcome="failed", elements=6, mismatched=1, cached={"mlf": True})
    second.max_abs_diff = 2.0
    second.add_seconds("run", 1.5)
    other = Record("n.tflite", "host", "host", "aot")
    merged = merge_records([first, other, second])
    assert [r.model for r in merged] == ["m.tflite", "n.tflite"]
    assert (merged[0].outcome, merged[0].elements, merged[0].mismatched) == ("failed", 10, 1)
    assert merged[0].cached == {"mlf": False}
    assert merged[0].timings_s["run"] == 1.5


def test_the_figures_of_the_process_that_ran_are_kept():
    built, ran = record(), record()
    built.set_metrics(Metrics(flash_bytes=Metric(9, "bytes", "ELF"), absent={"x": "y"}))
    ran.set_metrics(
        Metrics(
            flash_bytes=Metric(9, "bytes", "ELF"),
            instructions=Metric(50, "instructions", "plugin"),
            layers=(Layer("k", 40, 16, 0),),
        )
    )
    for order in ((built, ran), (ran, built)):
        (merged,) = merge_records([Record(**asdict(each)) for each in order])
        assert merged.metrics["instructions"]["value"] == 50
        assert merged.layers[0]["instructions_per_mac"] == 2.5
        assert merged.absent == {}
    assert ("microtvm_instructions", 50) in ran.properties()
    assert ("microtvm_board", "host") in ran.properties()


def test_the_file_is_json_even_with_infinities(tmp_path):
    one = record(max_abs_diff=float("inf"))
    one.set_metrics(Metrics(arena_bytes=Metric(64, "bytes", "plan")))
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
