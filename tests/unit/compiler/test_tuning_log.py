"""Tuning logs: how they are read and put together, and what follows from them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.compiler import CompileOptions, compile_key
from pytest_microtvm.compiler.pools import Memory
from pytest_microtvm.compiler.quantized.choices import Workload, first
from pytest_microtvm.compiler.quantized.kernels import tunables
from pytest_microtvm.compiler.quantized.kernels.dsp.conv2d import CONV2D
from pytest_microtvm.compiler.quantized.specs import Window
from pytest_microtvm.compiler.tuning import log as log_module
from pytest_microtvm.compiler.tuning.log import (
    choices_for,
    log_for,
    merged,
    read_log,
)
from pytest_microtvm.compiler.tuning.records import Key, TuningRecord, parse_record
from pytest_microtvm.compiler.tuning_files import UNTUNED, tuning_digest
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.version import __version__

MODEL = Path(__file__).parents[3] / "conftest_examples" / "models" / "sine_int8.tflite"
LOGS = Path(log_module.__file__).with_name("logs")
CORE = "a-core"
SHAPES = Workload((1, 6, 6, 8), (1, 6, 6, 8), Window((1, 1)))
OWN, OTHER, *_ = CONV2D.candidates(SHAPES)
RECORD = TuningRecord(
    Key(CONV2D.name, SHAPES, CORE),
    __version__,
    OTHER.to_data(),
    90,
    100,
    400,
    300,
    "estimated_cycles",
    "a board",
)


def written(path: Path, *records: TuningRecord | str) -> str:
    lines = [record if isinstance(record, str) else record.to_line() for record in records]
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def test_a_record_is_what_was_written():
    assert parse_record(RECORD.to_line()) == RECORD


def test_without_a_log_the_compiler_chooses():
    assert choices_for("", None)(CONV2D, SHAPES) == OWN
    assert choices_for(CORE, None)(CONV2D, SHAPES) == first(CONV2D, SHAPES) == OWN


def test_a_log_chooses_for_its_core_and_shape(tmp_path: Path):
    log = written(tmp_path / "log", RECORD)
    assert choices_for(CORE, log)(CONV2D, SHAPES) == OTHER
    assert choices_for("another", log)(CONV2D, SHAPES) == OWN
    larger = replace(SHAPES, input_shape=(1, 6, 6, 16))
    assert choices_for(CORE, log)(CONV2D, larger) == CONV2D.candidates(larger)[0]


def test_logs_are_put_together_one_behind_the_other(tmp_path: Path):
    dearer = replace(RECORD, choice=OWN.to_data(), cost=95)
    newer = replace(dearer, version="99.0")
    for records, counts in (
        ([RECORD, dearer], RECORD),
        ([dearer, RECORD], RECORD),
        ([RECORD, newer], newer),
        ([newer, RECORD], RECORD),
        ([RECORD, replace(dearer, metric="latency_us", cost=500)], None),
    ):
        log = written(tmp_path / "log", *records)
        assert list(merged(read_log(Path(log))).values()) == [counts or records[-1]]


def test_a_log_of_another_version_is_taken_as_far_as_it_goes(tmp_path: Path):
    gone = replace(RECORD, choice={"pixels": 9}, version="0.0.1")
    assert choices_for(CORE, written(tmp_path / "log", gone))(CONV2D, SHAPES) == OWN
    here = written(tmp_path / "log", replace(gone, version=__version__))
    with pytest.raises(ConfigError, match=r'the choice {"pixels": 9} for the kernel dsp\.conv2d'):
        choices_for(CORE, here)(CONV2D, SHAPES)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "is not JSON"),
        ("[" * 4000, "is not JSON"),
        ("[1]", "is not a JSON object"),
        ("x" * 5000, "has 5000 characters, more than 4096"),
        (RECORD.to_line().replace("a-core", ""), "has no text 'core'"),
        (RECORD.to_line().replace(": 90", ": -1"), "has no number 'cost'"),
        (RECORD.to_line().replace(": 90", ": NaN"), "has no number 'cost'"),
        (RECORD.to_line().replace('"window"', '"door"'), "has no 'workload' with the shapes"),
        (RECORD.to_line().replace("[1, 6, 6, 8]", "[1, 6, 8]"), "has no 'workload'"),
        (RECORD.to_line().replace('"pixels": ', '"pixels": 1.5'), "has no object 'choice'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, complaint: str):
    assert line != RECORD.to_line()
    log = written(tmp_path / "log", RECORD, "", line)
    with pytest.raises(ConfigError) as caught:
        log_for(CORE, log)
    assert f"line 3 of the tuning log {log} {complaint}" in str(caught.value)


def test_a_log_that_is_not_there(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        compile_key(MODEL, CompileOptions(core=CORE, tuning=str(tmp_path / "log")))
    (tmp_path / "log").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is not text in UTF-8"):
        log_for(CORE, str(tmp_path / "log"))


def test_choices_are_in_the_key_of_a_compilation(tmp_path: Path):
    log = str(tmp_path / "log")
    keys = set()
    for records in ([], [RECORD], [replace(RECORD, choice=OWN.to_data())]):
        written(Path(log), *records)
        keys.add(compile_key(MODEL, CompileOptions(core=CORE, tuning=log)))
    assert len(keys) == 3
    written(Path(log), RECORD)
    assert tuning_digest(CORE, log) != ""
    assert tuning_digest(CORE, UNTUNED) == tuning_digest("", log) == ""


def test_the_core_of_a_board_is_named_where_there_is_a_log(tmp_path: Path):
    board = load_boards()["qemu_x86"]
    log = str(tmp_path / "log")
    assert CompileOptions.for_board(board, {}, Memory()).core == ""
    options = CompileOptions.for_board(board, {}, Memory(), tuning=log)
    assert (options.core, options.tuning) == (board.cpu.core, log)
    with pytest.raises(ConfigError, match="no board is named"):
        CompileOptions.for_board(None, {}, Memory(), tuning=log)


def test_lines_are_json():
    assert json.loads(RECORD.to_line())["choice"] == OTHER.to_data()


@pytest.mark.parametrize("log", sorted(LOGS.glob("*.jsonl")), ids=lambda log: log.stem)
def test_logs_that_come_with_the_package(log: Path):
    assert log.stem in {board.cpu.core for board in load_boards().values()}
    records = read_log(log)
    assert len(merged(records)) == len(records)
    for record in records:
        simd = record.key.kernel.partition(".")[0]
        tunable = tunables(simd)[record.key.kernel]
        choices = [each.to_data() for each in tunable.candidates(record.key.workload)]
        assert record.choice in choices
        assert record.key.core == log.stem
        assert record.cost <= record.untuned_cost
