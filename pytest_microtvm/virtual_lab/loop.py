"""An event loop: calls back when a file descriptor can be read."""

from __future__ import annotations

import select
from collections.abc import Callable

Callback = Callable[[], None]


class Loop:
    """Watches file descriptors until it is stopped."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._running = False

    def watch(self, fd: int, callback: Callback, *, edge: bool = False) -> None:
        """Call back whenever there is something to read, or the other end has gone.

        Args:
            fd: The descriptor.
            callback: Must read all there is if `edge`.
            edge: Only when something new has happened.
        """
        self._epoll.register(fd, select.EPOLLIN | (select.EPOLLET if edge else 0))
        self._callbacks[fd] = callback

    def want_write(self, fd: int, wanted: bool, *, edge: bool = False) -> None:
        """Call back also when a watched descriptor takes bytes."""
        events = select.EPOLLIN | (select.EPOLLOUT if wanted else 0)
        self._epoll.modify(fd, events | (select.EPOLLET if edge else 0))

    def forget(self, fd: int) -> None:
        """Watch a descriptor no more; before it is closed."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def run(self) -> None:
        """Watch until `stop` is called."""
        self._running = True
        while self._running:
            for fd, _event in self._epoll.poll():
                callback = self._callbacks.get(fd)  # an earlier callback may have forgotten it
                if callback is not None:
                    callback()

    def stop(self) -> None:
        """End `run`."""
        self._running = False

    def close(self) -> None:
        """Free what the loop has."""
        self._epoll.close()
