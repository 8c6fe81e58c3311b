"""Payload of the link, beside what its serial line moves without a protocol.

First at the speed of the emulator: firmware that only moves bytes takes turns with firmware that
serves TVM's RPC, each with the same driver in the same emulator; "raw" is a plain loop of reads and
writes on the other end. Then through a pseudo-terminal of 115,200 baud, 8 bits, no parity, 1 stop
bit: 11,520 bytes a second. Payload is the bytes of a tensor, copied by TVM's own client; they are
random, so that one byte in 256 is escaped and travels as two. (All bytes 0xFF take twice the time.)
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pytest_microtvm.boards import Board, load_boards
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.mlf.library import ModelLibrary, TensorSpec
from pytest_microtvm.project import build_project, generate_project, platform_directory
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.device import Session
from tests.contract.libraries import FloatModel

BOARD = "qemu_x86"
BUILD_ID = "0123456789abcdef"
RAW_SHARE = 0.70
LINE_SHARE = 0.90
LINE_BYTES_PER_S = 115_200 / 10
TRANSFER_BYTES = 256 * 1024
LINE_TRANSFERS = (4096, 16384, 65536)
HERE = Path(__file__).parent
KERNEL = """\
void kernel(const float *x, float *y);
void kernel(const float *x, float *y) { y[0] = x[0]; }
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench link`."""
    parser = commands.add_parser("link", help="throughput of the link beside that of its line")
    parser.add_argument("--runs", type=int, default=15, help="transfers each way (default 15)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, and compare with the limits."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        emulated = _measure_emulated(directory, arguments.runs)
        line = [_measure_line(directory, size) for size in LINE_TRANSFERS]
    return 0 if emulated and all(line) else 1


def _measure_emulated(directory: Path, runs: int) -> bool:
    firmware = _build(directory / "large", TRANSFER_BYTES)
    seconds: dict[str, list[float]] = {}
    with _raw_device(firmware) as raw, Session(firmware) as session:
        for _ in range(runs):
            for label, step in (*raw.steps(), *_copies(session, TRANSFER_BYTES)):
                start = time.perf_counter()
                step()
                seconds.setdefault(label, []).append(time.perf_counter() - start)
    rates = {k: TRANSFER_BYTES / statistics.median(v) / 1000 for k, v in seconds.items()}
    print(f"{BOARD}, {TRANSFER_BYTES} bytes, median of {runs}")
    for label, rate in rates.items():
        print(f"  {label:24}{rate:8.0f} KB/s")
    kept = True
    for way in ("to the device", "from the device"):
        share = rates[f"payload {way}"] / rates[f"raw {way}"]
        kept &= _judge(f"payload / raw {way}", share, RAW_SHARE)
    return kept


def _measure_line(directory: Path, size_bytes: int) -> bool:
    firmware = _build(directory / f"line-{size_bytes}", size_bytes)
    _put_at_a_line(firmware.project_dir)
    seconds: dict[str, list[float]] = {}
    with Session(firmware) as session:
        for _ in range(max(2, min(8, 65536 // size_bytes))):
            for label, step in _copies(session, size_bytes):
                start = time.perf_counter()
                step()
                seconds.setdefault(label, []).append(time.perf_counter() - start)
    print(f"pseudo-terminal of 115,200 baud, {size_bytes} bytes, median of {len(seconds[label])}")
    kept = True
    for label, values in seconds.items():
        share = size_bytes / statistics.median(values) / LINE_BYTES_PER_S
        kept &= _judge(f"{label} / line", share, LINE_SHARE)
    return kept


def _copies(session: Session, size_bytes: int) -> list[tuple[str, Any]]:
    """Copy a tensor to the device and from it, by TVM's client."""
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 1 << 32, size_bytes // 4, dtype=np.uint32)
    values = bits.view(np.float32)
    tensor = session.rpc.get_function("microtvm.model.get_input")(0)

    def copy_from() -> None:
        if not np.array_equal(tensor.numpy().view(np.uint32), bits):
            raise RuntimeError("the bytes came back changed")

    return [
        ("payload to the device", lambda: tensor.copyfrom(values)),
        ("payload from the device", copy_from),
    ]


class _RawDevice:
    """The emulator with firmware that only moves bytes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._write_fd, self._read_fd = process.stdin.fileno(), process.stdout.fileno()
        self._data = np.random.default_rng(1).bytes(TRANSFER_BYTES)
        self._take(1)

    def steps(self) -> list[tuple[str, Any]]:
        """Send bytes, take bytes."""
        return [("raw to the device", self._send_all), ("raw from the device", self._take_all)]

    def _send_all(self) -> None:
        self._write(b"r" + TRANSFER_BYTES.to_bytes(4, "little") + self._data)
        self._take(1)

    def _take_all(self) -> None:
        self._write(b"w" + TRANSFER_BYTES.to_bytes(4, "little"))
        self._take(TRANSFER_BYTES)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._write_fd, view) :]

    def _take(self, count: int) -> None:
        while count > 0:
            data = os.read(self._read_fd, 1 << 16)
            if not data:
                raise RuntimeError("the emulator ended")
            count -= len(data)


@contextlib.contextmanager
def _raw_device(firmware: Firmware) -> Iterator[_RawDevice]:
    project = firmware.project_dir.with_name("raw")
    shutil.copytree(firmware.project_dir, project)
    shutil.copyfile(HERE / "raw_uart.c", project / "src" / "main.c")
    subprocess.run(["make", "-s", "-C", project], check=True, timeout=100)
    with subprocess.Popen(
        _emulator(firmware.board, project),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,  # as a Project API server: Linux shares out its time by sessions
    ) as process:
        try:
            yield _RawDevice(process)
        finally:
            process.kill()


def _emulator(board: Board, project: Path) -> list[str]:
    """The emulator's command, with the serial port as its standard input and output."""
    assert board.emulator is not None
    return [
        board.emulator.program,
        *("-machine", board.emulator.machine, *board.emulator.arguments),
        *("-display", "none", "-nodefaults", "-no-reboot"),
        *("-chardev", "stdio,id=uart,signal=off", "-serial", "chardev:uart"),
        *("-kernel", str(project / "build" / "firmware.elf")),
    ]


def _put_at_a_line(project: Path) -> None:
    """Have the project's server speak through a paced pseudo-terminal."""
    shutil.copyfile(HERE / "serial_project.py", project / "microtvm_api_server.py")
    line = [sys.executable, str(HERE / "paced_line.py"), str(LINE_BYTES_PER_S)]
    command = [*line, *_emulator(load_boards()[BOARD], project)]
    (project / "line.json").write_text(json.dumps(command))


def _build(directory: Path, tensor_bytes: int) -> Firmware:
    """Firmware whose model has one input and one output of a size."""
    directory.mkdir()
    board = load_boards()[BOARD]
    count = tensor_bytes // 4
    model = FloatModel("copy", KERNEL, count)
    archive = model.write(directory / "model.tar")
    (directory / "board.json").write_text(board.to_json())
    options = {
        "board": board.name,
        "board_definition": str(directory / "board.json"),
        "compile_definitions": [f"-DMICROTVM_BUILD_ID={BUILD_ID}"],
    }
    project = directory / "project"
    generate_project(platform_directory(board.platform), archive, project, options, Deadline(60))
    build_project(project, {}, Deadline(100))
    x, y = (TensorSpec(name, (count,), "float32", tensor_bytes) for name in "xy")
    library = ModelLibrary(archive, "copy", (x,), (y,), 0, 0, ("aot",), "", {})
    return Firmware(project, BUILD_ID, board, "aot", library, None, None, False, 0.0, 0.0)


def _judge(what: str, value: float, limit: float) -> bool:
    kept = value >= limit
    print(f"  {what:34}{value:6.2f} (at least {limit:g}: {'kept' if kept else 'MISSED'})")
    return kept
