"""The log of an emulator that counts instructions, read run by run."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_microtvm.measure.counting import Counter, Counts, parse_counts


class CountLog:
    """A log of its own, which the emulator's plugin appends to.

    It is in memory, and reached by way of this process: nothing of it stays, however that ends.

    The plugin writes the line of a run before the firmware answers the call: when the answer is
    here, so is the line.

    Args:
        counter: What counts.
    """

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._file = os.fdopen(os.memfd_create("microtvm-counts"), "rb")

    @property
    def project_options(self) -> dict[str, str]:
        """The options of `open_transport` that have the log written."""
        return self._counter.project_options(Path(f"/proc/{os.getpid()}/fd/{self._file.fileno()}"))

    def skip(self) -> None:
        """Leave out what was written up to now."""
        self._file.seek(0, 2)

    def read(self) -> Counts | None:
        """The counts of what ran since the last `skip`; None where nothing counted."""
        text = self._file.read().decode("ascii")
        return parse_counts(text, self._counter.kernels) if text else None

    def close(self) -> None:
        """Drop it; may be called again."""
        self._file.close()
