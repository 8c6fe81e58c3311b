"""One monotonic deadline, made at the edge and passed down to everything that waits."""

from __future__ import annotations

import time


class Deadline:
    """A point in monotonic time that an operation must not outlive.

    Args:
        timeout_s: Seconds from now.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._start = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the deadline was made."""
        return time.monotonic() - self._start

    @property
    def remaining_s(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.timeout_s - self.elapsed_s)

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self.elapsed_s >= self.timeout_s

    def at_most(self, timeout_s: float) -> float:
        """Seconds left, but not more than `timeout_s`: for one wait inside a longer operation."""
        return min(timeout_s, self.remaining_s)
