"""A client of MLPerf Tiny's protocol, as its runner speaks it, for tests of such firmware."""

from __future__ import annotations

import re
from typing import NamedTuple

from pytest_microtvm.session.console import Console

READY = "m-ready"
LOAD_BYTES = 31
"""Bytes in a `db` command: as many as the runner of MLCommons sends."""


class Inference(NamedTuple):
    """What `infer` answers.

    Attributes:
        results: The results, as the device rounds them.
        elapsed_us: Between both timestamps; None in energy mode, which prints none.
    """

    results: list[float]
    elapsed_us: int | None


class MlperfTinyClient:
    """Talks to a device under test.

    Args:
        console: The device, just opened: it says that it has started.
        timeout_s: How long to wait for each line, in seconds.
    """

    def __init__(self, console: Console, timeout_s: float = 20.0) -> None:
        self._console = console
        self._timeout_s = timeout_s
        self.greeting = self._answer()

    def command(self, text: str) -> list[str]:
        """Send a command; the lines that it is answered by, but m-ready."""
        self._console.write(f"{text}%")
        return self._answer()

    def load(self, data: bytes) -> list[str]:
        """Load an input; the answer to the last command."""
        lines = self.command(f"db load {len(data)}")
        for start in range(0, len(data), LOAD_BYTES):
            lines = self.command(f"db {data[start : start + LOAD_BYTES].hex()}")
        return lines

    def infer(self, number: int, warm_ups: int) -> Inference:
        """Run the model."""
        lines = self.command(f"infer {number} {warm_ups}")
        laps = [int(line.removeprefix("m-lap-us-")) for line in lines if "m-lap-us-" in line]
        results = _results(lines)
        assert results is not None, lines
        assert len(laps) in (0, 2), lines
        return Inference(results, laps[1] - laps[0] if laps else None)

    def results(self) -> list[float] | None:
        """The results of the latest run."""
        return _results(self.command("results"))

    def _answer(self) -> list[str]:
        lines: list[str] = []
        while (line := self._console.read_line(self._timeout_s)) != READY:
            assert line is not None, f"the device is gone after {lines}"
            lines.append(line)
        return lines


def _results(lines: list[str]) -> list[float] | None:
    for line in lines:
        if match := re.fullmatch(r"m-results-\[([^]]+)\]", line):
            return [float(number) for number in match[1].split(",")]
    return None
