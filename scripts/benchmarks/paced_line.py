"""A serial line of a certain speed: a pseudo-terminal on one side, a program on the other.

usage: python paced_line.py BYTES_PER_S PROGRAM ARGUMENTS...

Prints the path of the terminal, then passes bytes on as fast as the line allows, each direction for
itself, until it is killed or the program ends.
"""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
import tty
from collections import deque
from dataclasses import dataclass, field

CHUNK_BYTES = 32
QUEUE_BYTES = 4096
"""What a sender may be ahead of the line, as with the driver of a real port."""


@dataclass
class Direction:
    """One direction of the line; its bytes leave one after the other.

    They leave by the clock: when this process is late, it makes up for it, as a port's hardware
    would not have been late.
    """

    source: int
    target: int
    bytes_per_s: float
    queue: deque[tuple[float, bytes]] = field(default_factory=deque)
    free_at: float = 0.0

    @property
    def has_room(self) -> bool:
        """Whether the sender may send more."""
        return len(self.queue) * CHUNK_BYTES < QUEUE_BYTES

    def take(self, now: float) -> None:
        """Take a chunk from the sender."""
        data = os.read(self.source, CHUNK_BYTES)
        if not data:
            raise EOFError
        self.free_at = max(now, self.free_at) + len(data) / self.bytes_per_s
        self.queue.append((self.free_at, data))

    def pass_on(self, now: float) -> None:
        """Give the receiver what has left the line."""
        while self.queue and self.queue[0][0] <= now:
            os.write(self.target, self.queue.popleft()[1])


def main() -> None:
    """Run the line."""
    bytes_per_s, command = float(sys.argv[1]), sys.argv[2:]
    master, slave = pty.openpty()
    tty.setraw(slave)
    parent = os.getpid()

    def die_with_parent() -> None:
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        preexec_fn=die_with_parent,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        sys.stdout.write(os.ttyname(slave) + "\n")
        sys.stdout.flush()
        lines = [
            Direction(master, program.stdin.fileno(), bytes_per_s),
            Direction(program.stdout.fileno(), master, bytes_per_s),
        ]
        try:
            while True:
                sources = {line.source: line for line in lines if line.has_room}
                due = min((line.queue[0][0] for line in lines if line.queue), default=None)
                wait = None if due is None else max(0.0, due - time.monotonic())
                for source in select.select(list(sources), [], [], wait)[0]:
                    sources[source].take(time.monotonic())
                for line in lines:
                    line.pass_on(time.monotonic())
        except (EOFError, OSError):
            program.kill()


if __name__ == "__main__":
    main()
