"""Kernels tuned on a board: a log that the compiler reads, and nothing else that changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import pytest_microtvm as microtvm
from pytest_microtvm import ConfigError, Environment, ModelError, ModelLibrary
from pytest_microtvm.command.main import main
from pytest_microtvm.compiler.tuning.log import read_log
from pytest_microtvm.mlf.library import open_library
from tests.contract.running import need_tools
from tests.unit.compiler.tflite_models import two_by_two

MODELS = Path(__file__).resolve().parents[2] / "conftest_examples" / "models"
SINE = MODELS / "sine_int8.tflite"
BOARD = "mps2_an386"


def choices_of(library: ModelLibrary) -> list[dict[str, object]]:
    functions = library.metadata["modules"][library.name]["memory"]["functions"]
    return [each["tuning"]["choice"] for each in functions["operator_functions"]]


def test_a_model_is_tuned_and_compiled_by_the_log(
    environment: Environment, said: list[str], tmp_path: Path
) -> None:
    need_tools(environment.board(BOARD))
    log = tmp_path / "tuning.jsonl"
    found = microtvm.tune(SINE, log, board=BOARD, environment=environment)
    assert (found.metric, found.was_interrupted) == ("estimated_cycles", False)
    assert found.tuned is not None
    assert found.tuned <= found.untuned
    assert [line for line in said if line.startswith("round")][-1] == "round 1 of 1"
    assert read_log(log) == list(found.records)
    for record in found.records:
        assert record.key.core == "cortex-m4"
        assert 0 < record.cost <= record.untuned_cost
        assert record.code_bytes - record.untuned_code_bytes <= 1200

    (record,) = found.records
    other = replace(record, choice={**record.choice, "unrolled": 2}, cost=0)
    log.write_text(f"{record.to_line()}\n{other.to_line()}\n")
    compiled = microtvm.compile(SINE, board=BOARD, tuning=log, environment=environment)
    assert other.choice in choices_of(compiled)
    untuned = microtvm.compile(SINE, board=BOARD, tuning="none", environment=environment)
    assert untuned.sha256 != compiled.sha256
    assert microtvm.check(compiled, board=BOARD, environment=environment).passed


def test_the_commands_do_the_same(
    environment: Environment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need_tools(environment.board(BOARD))
    log, archive = tmp_path / "tuning.jsonl", tmp_path / "sine.tar"
    assert main(["tune", str(SINE), "--board", BOARD, "-o", str(log)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["KERNEL", "OUTPUT", "UNTUNED", "TUNED", "CODE", "CHOICE"]
    assert lines[-1] == f"1 record is in {log}"

    (record,) = read_log(log)
    other = replace(record, choice={**record.choice, "unrolled": 2}, cost=0)
    log.write_text(f"{other.to_line()}\n")
    arguments = ["compile", str(SINE), "--board", BOARD, "--tuning", str(log), "-o", str(archive)]
    assert main(arguments) == 0
    assert other.choice in choices_of(open_library(archive))


@pytest.mark.parametrize(
    ("name", "board", "complaint"),
    [
        ("archive.tar", BOARD, "is an archive, whose kernels are written already"),
        ("float.tflite", BOARD, "has no kernels that can be written in several ways"),
        ("sine.tflite", "host", "nothing can be measured on host"),
        ("sine.tflite", "no_board", "no_board"),
    ],
)
def test_what_cannot_be_tuned(
    environment: Environment, tmp_path: Path, name: str, board: str, complaint: str
) -> None:
    model = tmp_path / name
    model.write_bytes(two_by_two().to_bytes() if name == "float.tflite" else SINE.read_bytes())
    log = tmp_path / "tuning.jsonl"
    with pytest.raises((ConfigError, ModelError), match=complaint):
        microtvm.tune(model, log, board=board, environment=environment)
    assert not log.exists()


def test_a_log_that_cannot_be_written(
    environment: Environment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "no folder" / "log"
    assert main(["tune", str(SINE), "--board", BOARD, "-o", str(log)]) == 2
    assert f"cannot write {log}: No such file or directory" in capsys.readouterr().err
