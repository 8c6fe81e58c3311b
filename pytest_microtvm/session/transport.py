"""Transports: bytes to and from one device, with a deadline on every wait."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import MicroTVMError
from pytest_microtvm.project.client import ProjectAPIClient
from pytest_microtvm.project.descriptions import RecommendedTimeouts
from pytest_microtvm.project.options import check_options

CLOSE_TIMEOUT_S = 2.0


class Transport(abc.ABC):
    """Bytes to and from one device.

    A short write is never reported: `write` takes all, or raises.
    """

    @abc.abstractmethod
    def open(self, deadline: Deadline) -> RecommendedTimeouts:
        """Start or connect the device; one that is open already is restarted.

        Raises:
            MicroTVMError: It cannot be had.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of the device. Never raises, ends soon, may be called again."""

    @abc.abstractmethod
    def read(self, size: int, deadline: Deadline) -> bytes:
        """Read 1 to `size` bytes.

        Raises:
            TransportTimeout: Nothing came in time.
            TransportClosed: Nothing can come any more.
        """

    @abc.abstractmethod
    def write(self, data: bytes, deadline: Deadline) -> None:
        """Write all of `data`.

        Raises:
            TransportTimeout: Not all of it was taken in time.
            TransportClosed: Nothing can be written any more.
        """


class ProjectTransport(Transport):
    """The transport of a built project, by its Project API server.

    Args:
        project_dir: The project.
        options: Project options for `flash` and `open_transport`.
        keep_waiting: Called between waits for the server; may raise to end them.
    """

    def __init__(
        self,
        project_dir: Path,
        options: Mapping[str, Any],
        keep_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self._project_dir = project_dir
        self._options = options
        self._keep_waiting = keep_waiting
        self._client: ProjectAPIClient | None = None
        self._is_open = False

    def flash(self, deadline: Deadline) -> None:
        """Write the project's firmware to its board; the same server opens it then.

        Raises:
            MicroTVMError: It is not there now.
        """
        client = self._start_server(deadline)
        info = client.info
        client.flash(check_options(info, "flash", self._options), deadline)

    def open(self, deadline: Deadline) -> RecommendedTimeouts:
        """See `Transport.open`: a restart is `close_transport` and `open_transport`."""
        if self._client is not None and self._is_open:
            try:
                self._client.close_transport(Deadline(deadline.at_most(CLOSE_TIMEOUT_S)))
            except MicroTVMError:
                self.close()  # a server that cannot even let go is replaced
        client = self._start_server(deadline)
        self._is_open = True  # in part, if it fails
        info = client.info
        options = check_options(info, "open_transport", self._options)
        return client.open_transport(options, deadline)

    def close(self) -> None:
        """See `Transport.close`."""
        client, self._client = self._client, None
        self._is_open = False
        if client is not None:
            with contextlib.suppress(MicroTVMError):
                client.close_transport(Deadline(CLOSE_TIMEOUT_S))
            client.close()

    def read(self, size: int, deadline: Deadline) -> bytes:
        """See `Transport.read`."""
        return self._open_client().read_transport(size, deadline)

    def write(self, data: bytes, deadline: Deadline) -> None:
        """See `Transport.write`."""
        self._open_client().write_transport(data, deadline)

    def _start_server(self, deadline: Deadline) -> ProjectAPIClient:
        if self._client is None:
            client = ProjectAPIClient(
                self._project_dir, deadline, keep_waiting=self._keep_waiting, fork=True
            )
            client.open()
            self._client = client
        return self._client

    def _open_client(self) -> ProjectAPIClient:
        assert self._client is not None, "the transport is not open"
        return self._client
