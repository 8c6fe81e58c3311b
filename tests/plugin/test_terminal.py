"""What a run shows on a terminal of 80 columns."""

import fcntl
import itertools
import os
import pty
import re
import shutil
import struct
import subprocess
import termios

import pytest

from pytest_microtvm.boards import load_boards
from tests.plugin.running import MODELS, RUN_TIMEOUT_S, plugin_command, plugin_environment

WIDTH = 80
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
BOARDS = [board.name for board in load_boards().values() if not board.is_only_real]

ADDS_RECORDS = """
import itertools
import pytest
from pytest_microtvm.face.stash import run_of
from pytest_microtvm.measure.metrics import Metric, Metrics
from pytest_microtvm.measure.records import Record

@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    run = run_of(session.config)
    outcomes = itertools.cycle(["passed", "passed", "failed", "error", "passed", "skipped"])
    for model in {models}:
        for board in run.settings.boards:
            record = Record(model, board, "baremetal", "aot")
            record.note_test(model, next(outcomes), board + ": " + "why " * 20)
            record.add_comparison(1_000_000, 123_456 * (record.outcome == "failed"), 3.0)
            size = Metric(12_345_678, "bytes", "made up")
            count = Metric(1_234_567_890, "instructions", "made up")
            record.add_metrics(Metrics(
                flash_bytes=size, ram_bytes=size, arena_bytes=size, stack_bytes=size,
                instructions=count, float_instructions=count,
                latency_us=Metric(12_345_678.9, "us", "made up"),
            ))
            run.results.add_workers_records("made-up", [record.to_data()])
"""


def run_on_terminal(workspace, *arguments):
    """Run pytest on a terminal; its lines, without colours, and what was written."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, WIDTH, 0, 0))
    environment = plugin_environment(TERM="xterm-256color")
    del environment["COLUMNS"]
    command = [each for each in plugin_command(*arguments) if each != "--color=no"]
    process = subprocess.Popen(
        command, cwd=workspace, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written = b""
    try:
        while True:
            try:
                block = os.read(ours, 1 << 16)
            except OSError:  # how Linux tells that nobody has the other end any more
                break
            if not block:
                break
            written += block
        status = process.wait(RUN_TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    text = written.decode()
    return COLOUR.sub("", text).replace("\r", "").splitlines(), text, status


def section(lines):
    """The lines of the plugin's own section."""
    start = next(at for at, line in enumerate(lines) if re.fullmatch("=+ microtvm =+", line))
    rest = lines[start + 1 :]
    return list(itertools.takewhile(lambda line: not line.startswith("====="), rest))


@pytest.mark.parametrize(
    "models",
    [
        [f"models/{name}.tflite" for name in ("keyword", "person", "anomaly", "image")],
        [f"models/{letter * 60}.tflite" for letter in "abcd"],
        [f"models/{'keyword_spotting_' * 4}"[:65] + f"{n}.tflite" for n in "123456"],
    ],
    ids=["models", "names of 60 letters", "long names that are alike"],
)
def test_no_line_wraps_for_many_boards_and_models(workspace, shared_cache, models):
    assert len(BOARDS) >= 14
    (workspace / "conftest.py").write_text(ADDS_RECORDS.replace("{models}", repr(models)))
    (workspace / "test_it.py").write_text("def test_nothing(): pass\n")
    boards = f"--microtvm-board={','.join(BOARDS[:14])}"
    lines, text, status = run_on_terminal(
        workspace, "test_it.py", boards, f"--microtvm-cache-dir={shared_cache}"
    )
    assert status == 0, text
    shown = section(lines)
    assert max(map(len, shown)) <= WIDTH
    assert sum("12,345.679 ms" in line for line in shown) == 14 * len(models)
    assert sum("✗" in line for line in shown) > 3
    assert re.search(r"\x1b\[32mpassed", text)
    assert re.search(r"\x1b\[31mfailed", text)


def test_no_line_of_a_real_run_wraps(workspace, tmp_path):
    name = f"{'sine_' * 12}"
    shutil.copy(MODELS / "sine_int8.tflite", workspace / f"{name}.tflite")
    shutil.copy(MODELS / "sine_float32.tflite", workspace / "sine.tflite")
    lines, text, status = run_on_terminal(
        workspace,
        f"{name}.tflite",
        "sine.tflite",
        "--microtvm-board=host,qemu_x86",
        "--microtvm-layers",
        f"--microtvm-cache-dir={tmp_path / 'cache'}",
    )
    assert status == 0, text
    assert max(map(len, section(lines))) <= WIDTH
    told = [line for line in lines if line.startswith("microtvm: ")]
    assert told
    assert max(map(len, told)) <= WIDTH
    assert any(f"{name}.tflite" in line for line in lines)
