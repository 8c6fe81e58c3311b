"""The main job on a board of Arduino's: a Mega 2560 that simavr stands for."""

from __future__ import annotations

import shutil

import pytest

from tests.plugin.running import MODELS, RunPytest

EXECUTORS = ("aot", "graph", "host_driven")
BOARD = ("--microtvm-platform=arduino", "--microtvm-board=mega2560")


@pytest.fixture(autouse=True)
def tools() -> None:
    for program in ("arduino-builder", "simavr", "avr-gcc"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing; install it: docker/install/arduino.sh")


def test_a_model_passes_by_every_executor(run_pytest: RunPytest) -> None:
    model = MODELS / "sine_int8.tflite"
    outcome = run_pytest(*BOARD, f"--microtvm-executor={','.join(EXECUTORS)}", model, status=0)
    assert outcome.records is not None
    assert [each["executor"] for each in outcome.records] == list(EXECUTORS)
    for record in outcome.records:
        assert (record["verdict"], record["mismatched"]) == ("match", 0)
        metrics = {name: metric["value"] for name, metric in record["metrics"].items()}
        assert 0 < metrics["flash_bytes"] < 253_952
        assert 0 < metrics["ram_bytes"] < 8192
        assert 100 < metrics["stack_bytes"] < 1024
        assert metrics["instructions"] < metrics["cycles"]
        # One clock for all: 16 MHz, and steps of 4 us.
        if record["executor"] != "host_driven":
            assert metrics["latency_us"] >= metrics["cycles"] / 16 - 4


def test_a_model_that_does_not_fit_is_an_error_with_need_and_have(run_pytest: RunPytest) -> None:
    outcome = run_pytest(*BOARD, MODELS / "keyword_int8.tflite", status=1)
    line, *_ = outcome.lines("DoesNotFit: mega2560: model too large: needs ")
    assert "bytes of RAM, mega2560 has 8192" in line
