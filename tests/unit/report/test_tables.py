"""What a run prints for a person."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from pytest_microtvm.boards import Board, Cpu, PlatformTable
from pytest_microtvm.boards.selection import Readiness
from pytest_microtvm.measure.metrics import Layer, Metric, Metrics
from pytest_microtvm.measure.records import Record
from pytest_microtvm.report.layout import fold, shorten, shorten_apart
from pytest_microtvm.report.matrix import matrix
from pytest_microtvm.report.tables import board_table, run_report


def figure(value: float, unit: str = "bytes") -> Metric:
    return Metric(value, unit, "test")


def record(executor: str = "aot", model: str = "models/net.tflite", **metrics: Any) -> Record:
    made = Record(model, "board", "baremetal", executor, outcome="passed")
    made.add_metrics(Metrics(**metrics))
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


def lines_of(*records: Record, **options: Any) -> list[str]:
    return list(run_report(records, **{"verbose": False, "layers": False, "width": 80, **options}))


def report(*records: Record, **options: Any) -> list[list[str]]:
    return [line.split() for line in lines_of(*records, **options)]


def test_a_row_has_the_figures_that_matter_most():
    lines = report(record(**MEASURED), record("graph"))
    cells = dict(zip(lines[1], lines[2], strict=False))
    assert cells["EXECUTOR"] == "aot"
    assert cells["FLASH"] == "30,000"
    assert cells["RAM"] == cells["ARENA"] == "-"
    assert cells["STACK"] == "612"
    assert cells["INSTRUCTIONS"] == "2,000"
    assert lines[2][-2:] == ["1.234", "ms"]


def test_cycles_have_a_column_where_some_board_counts_them():
    plain_one, counted = record(**MEASURED), record("graph", **MEASURED, cycles=figure(3456, "x"))
    assert "CYCLES" not in lines_of(plain_one)[1].split()
    lines = lines_of(plain_one, counted, width=120)
    assert "CYCLES" in lines[1].split()
    assert "3,456" in lines[3].split()


def test_what_is_the_same_for_all_stands_above():
    one, other = record(**MEASURED), record("graph", **MEASURED)
    assert lines_of(one, other)[0] == (
        "net.tflite on board: tests passed, verdict none, check none"
    )
    other.note_test("t", "failed")
    one.add_comparison(4, 0, 0.0)
    other.add_comparison(4, 1, 2.0)
    lines = lines_of(one, other)
    assert lines[0] == "net.tflite on board: check none"
    assert lines[1].split()[:4] == ["EXECUTOR", "TESTS", "VERDICT", "MISMATCHED"]
    assert lines[3].split()[:6] == ["graph", "failed", "mismatch", "1", "of", "4"]


def test_the_last_line_sums_the_run_up():
    one, other = record(**MEASURED), record("graph", **MEASURED)
    assert lines_of(one)[-1] == "1 model on 1 board: 1 passed; nothing was compared"
    one.add_comparison(1000, 0, 0.0)
    assert lines_of(one)[-1] == "1 model on 1 board: 1 passed; 0 of 1,000 elements differ"
    other.note_test("t", "failed")
    other.add_comparison(1000, 3, 2.0)
    assert lines_of(one, other, width=100)[-1] == (
        "1 model on 1 board by 2 executors: 1 passed, 1 failed; 3 of 2,000 elements differ"
    )


def test_what_was_skipped_is_told_with_its_reason_once_for_all_executors():
    skipped = [Record("models/net.tflite", "small", "baremetal", e) for e in ("aot", "graph")]
    for each in skipped:
        each.note_test("t", "skipped", "small: model too large: needs 20 bytes, small has 16")
    lines = lines_of(record(**MEASURED), *skipped, width=120)
    assert lines[-3:-1] == [
        "net.tflite (aot, graph) was skipped: small: model too large: needs 20 bytes, small has 16",
        "",
    ]


def test_float_operators_are_told_once_for_each_model():
    part: dict[str, Any] = {"float_instructions": figure(500, "instructions")}
    records = [record(**MEASURED, **part), record("graph", **MEASURED, **part)]
    records.append(record("aot", "models/other.tflite", **MEASURED, **part))
    told = [line for line in lines_of(*records, width=200) if "float32" in line]
    assert told == [
        "net.tflite on board, aot: 500 of 2,000 instructions (25%), of 2 the most are those of "
        "operators in float32, which have no integer kernel",
        "other.tflite on board, aot: 500 of 2,000 instructions are those of operators in float32, "
        "which have no integer kernel",
    ]


def test_dead_weights_are_told_once_for_each_model():
    part: dict[str, Any] = {
        "dead_macs": figure(7500, "MACs"),
        "dead_constants_bytes": figure(1200, "bytes"),
    }
    records = [record(**MEASURED, **part), record("graph", **MEASURED, **part)]
    records.append(record("aot", "models/other.tflite", **MEASURED))
    told = [line for line in lines_of(*records, width=200) if "dead" in line]
    assert told == [
        "net.tflite: 7,500 multiplications and 1,200 bytes of weights are dead in the model, and "
        "were left out"
    ]


def test_more_words_tell_where_the_flash_goes_and_what_is_absent():
    reason = {"instructions": "no compiler"}
    lines = report(record(**MEASURED), record("graph", absent=reason), verbose=True)
    assert ["MODEL", "FLASH", "CONSTANTS", "OTHER"] in lines
    assert ["net.tflite", "30,000", "20,000", "10,000"] in lines
    assert ["no", "instructions", "of", "board:", "no", "compiler"] in lines


def test_layers_are_rows_with_their_share():
    lines = report(record(**MEASURED, layers=LAYERS), layers=True, width=120)
    assert ["conv", "1,500", "75.0%", "500", "3.00", "64", "#" * 30] in lines
    assert ["softmax", "400", "20.0%", "-", "-", "0", "#" * 8] in lines
    assert ["(executor)", "100", "5.0%", "-", "-", "-"] in lines
    narrow = lines_of(record(**MEASURED, layers=LAYERS), layers=True, width=70)
    assert max(map(len, narrow)) == 70


def test_a_model_of_one_layer_has_a_table():
    lines = report(record(**MEASURED, layers=LAYERS[:1]), layers=True)
    assert "1,500" in lines[-4]


def test_layers_have_the_estimate_of_cycles_above_them():
    figures: dict[str, Any] = {**MEASURED, "estimated_cycles": figure(3100, "cycles")}
    lines = report(record(**figures, layers=LAYERS[:1]), layers=True)
    assert [line[-2:] for line in lines if "~3,100" in line] == [["~3,100", "cycles"]]


def test_without_counts_layers_are_a_reason():
    lines = report(record(absent={"instructions": "no compiler"}), layers=True)
    assert lines[-3][-2:] == ["no", "compiler"]


def test_models_of_one_name_are_told_apart_by_their_folders() -> None:
    records = [
        Record(model, "board", "baremetal", "aot")
        for model in ("one/deep/net.tflite", "/other/deep/net.tflite", "net.tflite", "own.tflite")
    ]
    models = [line[0] for line in report(*records)[2:-2]]
    assert models == ["one/deep/net.tflite", "other/deep/net.tflite", "net.tflite", "own.tflite"]


BOARDS = tuple(f"board_number_{number}" for number in range(14))
LONG_BOARDS = tuple(f"{'board_with_a_long_name_' * 3}"[:59] + str(n) for n in range(3))
FOUR = ("a.tflite", "b.tflite", "c.tflite", "d.tflite")
LONG = tuple(
    f"{'keyword_spotting_with_a_long_name_' * 2}"[:58] + f"{end}.tflite" for end in ("aa", "bb")
)
assert all(len(name.removesuffix(".tflite")) == 60 for name in LONG)


def many(models: tuple[str, ...], boards: tuple[str, ...], executors: tuple[str, ...]):
    """Made-up records with wide figures; every outcome is among them."""
    records = []
    outcomes = itertools.cycle(["passed", "passed", "failed", "error", "passed", "skipped"])
    for model, board, executor in itertools.product(models, boards, executors):
        made = Record(f"models/{model}", board, "baremetal", executor)
        made.outcome = next(outcomes)
        made.model_check = "differs by 12 of 1000 elements"
        if made.outcome == "skipped":
            made.note_test("t", "skipped", f"{board}: {model} is too large: needs 9 bytes of RAM")
        made.add_comparison(1_000_000, 123_456 if made.outcome == "failed" else 0, 3.0)
        figures = {
            name: figure(123_456_789) for name in ("flash_bytes", "ram_bytes", "arena_bytes")
        }
        figures |= {
            f"{kind}_{part}_bytes": figure(12_345_678)
            for kind, part in (
                ("flash", "constants"),
                ("flash", "kernels"),
                ("flash", "runtime"),
                ("ram", "arena"),
                ("flash", "other"),
                ("ram", "io"),
                ("ram", "stack"),
                ("ram", "other"),
            )
        }
        figures["stack_bytes"] = figure(123_456)
        figures["instructions"] = figure(1_234_567_890, "instructions")
        figures["float_instructions"] = figure(234_567_890, "instructions")
        figures["latency_us"] = figure(1_234_567.8, "us")
        layers = (Layer(f"tvmgen_{'x' * 60}_conv2d_0", 1_234_567_000, 1_000_000, 64),)
        made.add_metrics(Metrics(**figures, layers=layers, absent={"none": f"{'no reason ' * 12}"}))
        records.append(made)
    return records


@pytest.mark.parametrize("width", [60, 80, 132])
@pytest.mark.parametrize(
    ("models", "boards", "executors"),
    [
        (FOUR, BOARDS, ("aot",)),
        (FOUR, BOARDS, ("aot", "graph", "host_driven")),
        (
            LONG,
            LONG_BOARDS,
            ("aot", "graph"),
        ),
        (LONG, ("host",), ("aot",)),
        (LONG[:1], BOARDS, ("aot",)),
        (tuple(f"m{number}.tflite" for number in range(40)), BOARDS[:2], ("aot", "graph")),
        (LONG[:1], BOARDS[:1], ("aot",)),
    ],
    ids=["many", "executors", "long", "one-board", "one-model", "many-models", "one"],
)
def test_no_line_is_wider_than_the_terminal(models, boards, executors, width):
    records = many(models, boards, executors)
    for verbose in (False, True):
        lines = lines_of(*records, verbose=verbose, layers=verbose, width=width)
        assert [line for line in lines if len(line) > width] == []
    text = "\n".join(lines_of(*records, width=width))
    # Nothing is lost: each figure of each record is there.
    for cell in ("1,234,567,890", "1,234.568 ms"):
        assert text.count(cell) >= len(records)


def test_many_boards_are_grouped_by_model():
    records = many(("a.tflite", "b.tflite"), BOARDS, ("aot",))
    lines = lines_of(*records, width=200)
    start = lines.index("a.tflite")
    assert lines[start + 1].split()[0] == "board_number_0"
    assert lines[start + 15] == "b.tflite"
    assert not any("a.tflite" in line for line in lines[start + 1 : start + 15])


def test_a_matrix_has_a_mark_for_each_model_and_board():
    records = many(("a.tflite", "b.tflite"), BOARDS[:3], ("aot",))
    assert list(matrix(records, 80)) == [
        "✓ passed, ✗ failed, ! error, \N{EN DASH} not run:",
        "                a.tflite  b.tflite",
        "board_number_0  ✓         !",
        "board_number_1  ✓         ✓",
        "board_number_2  ✗         \N{EN DASH}",
    ]
    assert not list(matrix(records[:3], 80))  # one model
    assert not list(matrix(records[::3], 80))  # one board


def test_a_matrix_has_a_mark_for_each_executor():
    records = many(("a.tflite", "b.tflite", "c.tflite"), BOARDS[:2], ("aot", "graph"))
    lines = list(matrix(records[:-1], 80))
    assert lines[0].startswith("aot, graph of each: ✓")
    assert lines[2:] == [
        "a.tflite  ✓✓              ✗!",
        "b.tflite  ✓\N{EN DASH}              ✓✓",
        "c.tflite  ✗!              ✓",
    ]


def test_verdicts_and_outcomes_have_colours():
    records = many(("a.tflite", "b.tflite"), BOARDS[:3], ("aot",))
    lines = lines_of(*records, paint=lambda text, colour: f"<{colour}>{text}</>", width=200)
    text = "\n".join(lines)
    assert "<green>✓</>" in text
    assert "<red>✗</>" in text
    assert re.search(r"<red>failed *</>  <red>mismatch", text)
    assert re.search(r"<yellow>skipped *</>  <green>match", text)
    plain = re.sub(r"<\w*>|</>", "", text).splitlines()
    assert plain == lines_of(*records, width=200)


def test_names_are_shortened_in_the_middle_and_stay_apart():
    assert shorten("keyword_spotting.tflite", 12) == "keywor…flite"
    assert shorten("net", 12) == "net"
    short = shorten_apart(["abcdefgh1xyz", "abcdefgh2xyz", "other"], 9)
    assert len(set(short)) == 3
    assert max(map(len, short)) <= 9


def test_lines_are_folded_between_words():
    assert fold("one two three", 8) == ["one two", "  three"]
    assert max(map(len, fold("x" * 100, 30))) <= 30


def test_the_list_of_boards_names_what_cannot_be_built_and_how_that_is_mended():
    boards = {
        name: Board(name, Cpu("arm"), (PlatformTable("baremetal"),))
        for name in ("one", "two", "six")
    }
    ready = {
        "one": Readiness(),
        "two": Readiness((), ("qemu",), ("apt-get install qemu",)),
        "six": Readiness(("gcc",), (), ("apt-get install gcc",)),
    }
    lines = list(board_table(boards, ready))
    assert [line.split()[3] for line in lines[:4]] == ["HERE", "runs", "builds", "no"]
    assert lines[-1] == (
        "no firmware can be built here for six: missing gcc; install with: apt-get install gcc"
    )
