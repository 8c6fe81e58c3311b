"""The errors that a server answers with, and what of them travels to the client."""

from __future__ import annotations

import enum
import errno
from typing import Any

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
HOW_TO_MAKE_ROOM = "make room on its file system, or keep the project and TMPDIR on another"


class ErrorCode(enum.IntEnum):
    """Error codes of a reply."""

    SERVER_ERROR = -32000
    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603


class JSONRPCError(Exception):
    """An error with the members a JSON-RPC error object has.

    Args:
        code: See `ErrorCode`.
        message: A short text; for a server error, the name of the exception's class.
        data: Anything JSON can carry, or None.
        client_context: Set by clients: what was asked for.
    """

    def __init__(
        self, code: int, message: str, data: Any = None, client_context: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.client_context = client_context

    def to_json(self) -> dict[str, Any]:
        """The error object of a reply."""
        return {"code": int(self.code), "message": self.message, "data": self.data}


class ServerError(JSONRPCError):
    """A valid request that could not be carried out (code -32000).

    A subclass passes no message: its class name travels as the message, so that the client can
    tell the cases apart.
    """

    def __init__(
        self, message: str | None = None, data: Any = None, client_context: str | None = None
    ) -> None:
        if message is None:
            message = type(self).__name__
        super().__init__(ErrorCode.SERVER_ERROR, message, data, client_context)

    @classmethod
    def from_exception(cls, exc: BaseException, **kwargs: Any) -> ServerError:
        """Wrap `exc`, keeping its traceback for the client."""
        error = cls(**kwargs)
        error.keep_traceback(exc)
        return error

    def keep_traceback(self, exc: BaseException) -> None:
        """Put the traceback of `exc` into `data`, unless one is there already."""
        import traceback  # for trouble only: it costs some milliseconds

        if self.data is None:
            self.data = {}
        if isinstance(self.data, dict):
            text = "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))
            self.data.setdefault("traceback", text)


class TransportClosedError(ServerError):
    """The transport is not open, or can no longer carry data."""


class IoTimeoutError(ServerError):
    """A transfer did not happen in time."""


class UnsupportedTVMVersionError(ServerError):
    """This server does not work with the TVM version named in `server_info_query`."""


class ProjectError(ServerError):
    """A failure the user can act on: one line, a cure, and the tool output behind it.

    Args:
        message: One line that names the thing in trouble.
        cure: What to do next.
        details: For example a compiler's output.
    """

    def __init__(self, message: str, cure: str = "", details: str = "") -> None:
        super().__init__(data={"message": message, "cure": cure, "details": details})

    def __str__(self) -> str:
        return str(self.data["message"])


class DoesNotFitError(ProjectError):
    """The board has too little memory for the model."""


class OptionError(ProjectError):
    """An option has a value the platform cannot use."""


def no_room(exc: BaseException) -> ProjectError | None:
    """The error to answer with where a file cannot be written for want of room; else None."""
    if not isinstance(exc, OSError) or exc.errno not in _NO_ROOM:
        return None
    file = exc.filename2 or exc.filename or "a file"
    return ProjectError(f"cannot write {file}: {exc.strerror}", cure=HOW_TO_MAKE_ROOM)
