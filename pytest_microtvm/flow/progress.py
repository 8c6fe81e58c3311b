"""Tells what takes time, and again while it lasts."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

Progress = Callable[[str], None]

AGAIN_S = 10.0
"""After how long a step is told again."""


class Step:
    """A step that takes time."""

    def __init__(self) -> None:
        self.reached = ""

    def reach(self, point: str) -> None:
        """Note how far it is: "[57/153]". It is told with the step from then on."""
        self.reached = point


def silent(_line: str) -> None:
    """Report no progress."""


@contextlib.contextmanager
def long_step(what: str, tell: Progress, again_s: float = AGAIN_S) -> Iterator[Step]:
    """Tell of a step that takes time when it begins, and every so often until it ends.

    Args:
        what: The step, as "building sine for microbit".
        tell: Gets the lines; from another thread while the step lasts, never after it.
        again_s: Seconds between two lines.

    Yields:
        The step, which may be told how far it is.
    """
    tell(what)
    step = Step()
    ended = threading.Event()
    start = time.monotonic()

    def repeat() -> None:
        while not ended.wait(again_s):
            tell(f"{what} ({time.monotonic() - start:.0f} s) {step.reached}".rstrip())

    thread = threading.Thread(target=repeat, name="microtvm-progress", daemon=True)
    thread.start()
    try:
        yield step
    finally:
        ended.set()
        thread.join()
