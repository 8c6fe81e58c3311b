"""What a Project API server tells about itself, read from its replies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .server.api import BoardSupport, BuiltFiles, Tool
from .server.board_keys import BoardKey

_PROTOCOL_VERSION = 1


@dataclass(frozen=True)
class Option:
    """What a platform tells about one of its options; see `server.ProjectOption`."""

    name: str
    type: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    choices: tuple[Any, ...] | None
    default: Any
    help: str


@dataclass(frozen=True)
class ServerDescription:
    """What a server tells about itself.

    Attributes:
        platform_name: The platform.
        is_template: Whether it is a template's server, not a project's.
        model_library_path: The project's MLF archive; None for a template.
        options: The project options that it takes.
        board_keys: What the platform's table of a board may hold; None if it does not tell.
        built_files: What a build of the project makes; None if it does not tell.
    """

    platform_name: str
    is_template: bool
    model_library_path: Path | None
    options: tuple[Option, ...]
    board_keys: tuple[BoardKey, ...] | None
    built_files: BuiltFiles | None


@dataclass(frozen=True)
class RecommendedTimeouts:
    """Waits a platform recommends, in seconds; 0 means no limit."""

    session_start_retry_timeout_s: float
    session_start_timeout_s: float
    session_established_timeout_s: float


def parse_description(reply: Mapping[str, Any]) -> ServerDescription:
    """Read a reply to `server_info_query`.

    Raises:
        KeyError, TypeError, ValueError: It makes no sense.
    """
    if reply["protocol_version"] != _PROTOCOL_VERSION:
        raise ValueError(
            f"it speaks version {reply['protocol_version']} of the Project API, "
            f"not {_PROTOCOL_VERSION}"
        )
    path, keys = reply["model_library_format_path"], reply.get("board_keys")
    return ServerDescription(
        platform_name=str(reply["platform_name"]),
        is_template=bool(reply["is_template"]),
        model_library_path=Path(path) if path else None,  # templates say None or ""
        options=tuple(_parse_option(option) for option in reply["project_options"]),
        board_keys=None if keys is None else tuple(BoardKey(**key) for key in keys),
        built_files=parse_built_files(reply),
    )


def parse_built_files(reply: Mapping[str, Any] | None) -> BuiltFiles | None:
    """Read what a build makes from a reply, if the server tells it.

    Raises:
        AttributeError, TypeError: It makes no sense.
    """
    files = None if reply is None else reply.get("built_files")
    return None if files is None else BuiltFiles(**files)


def parse_support(reply: Mapping[str, Any]) -> BoardSupport:
    """Read a reply to `board_query`.

    Raises:
        KeyError, TypeError: It makes no sense.
    """
    return BoardSupport(
        tools=tuple(Tool(**tool) for tool in reply["tools"]),
        toolchain=None if reply["toolchain"] is None else str(reply["toolchain"]),
        abilities=tuple(map(str, reply["abilities"])),
        environment=tuple(map(str, reply["environment"])),
        lasting=bool(reply.get("lasting", True)),
    )


def parse_timeouts(reply: Mapping[str, Any]) -> RecommendedTimeouts:
    """Read a reply to `open_transport`.

    Raises:
        KeyError, TypeError, ValueError: It makes no sense.
    """
    timeouts = reply["timeouts"]
    return RecommendedTimeouts(
        float(timeouts["session_start_retry_timeout_sec"]),
        float(timeouts["session_start_timeout_sec"]),
        float(timeouts["session_established_timeout_sec"]),
    )


def _parse_option(option: Mapping[str, Any]) -> Option:
    choices = option.get("choices")
    return Option(
        name=str(option["name"]),
        type=str(option["type"]),
        required=tuple(option.get("required") or ()),
        optional=tuple(option.get("optional") or ()),
        choices=None if choices is None else tuple(choices),
        default=option.get("default"),
        help=str(option.get("help") or ""),
    )
