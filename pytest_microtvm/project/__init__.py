"""The life of a firmware project: generate, build, flash.

Importing this package costs nothing, because Project API servers are inside it: each function
loads what it needs when it is called. The link to the device is `client.ProjectAPIClient`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from ..deadline import Deadline
    from ..forks import Forks
    from .server.api import BuiltFiles


def platform_directory(name: str, extra_directories: Sequence[Path] = ()) -> Path:
    """The template folder of a platform.

    Args:
        name: The platform.
        extra_directories: Where platforms are besides; see `platforms.load_platforms`.

    Raises:
        ConfigError: There is no such platform; names those there are.
    """
    from .platforms import find_platform, load_platforms

    return find_platform(load_platforms(extra_directories), name).directory


def runtime_directory() -> Path:
    """The C runtime that generated projects get a copy of."""
    from . import lifecycle

    return lifecycle.RUNTIME


def generate_project(
    platform_dir: Path,
    library_path: Path,
    project_dir: Path,
    options: Mapping[str, Any],
    deadline: Deadline,
    offered: Mapping[str, Any] = MappingProxyType({}),
    forks: Forks | None = None,
) -> None:
    """Create a firmware project from an MLF archive.

    Args:
        platform_dir: The template folder; see `platform_directory`.
        library_path: The MLF archive.
        project_dir: Is created, and removed again should anything go wrong.
        options: The platform's project options.
        deadline: Ends it.
        offered: Further options, for a platform that has them.
        forks: Starts the platform's server; None for a process by itself.

    Raises:
        ConfigError: An option that the platform refuses, or `project_dir` exists.
        BuildError: The project could not be generated; the model is too large, for instance.
    """
    from . import lifecycle

    lifecycle.generate_project(
        platform_dir, library_path, project_dir, options, deadline, offered, forks
    )


def build_project(
    project_dir: Path,
    options: Mapping[str, Any],
    deadline: Deadline,
    offered: Mapping[str, Any] = MappingProxyType({}),
    on_progress: Callable[[str], None] = lambda _: None,
    forks: Forks | None = None,
) -> BuiltFiles | None:
    """Compile and link a generated project.

    Args:
        project_dir: The project.
        options: The platform's project options.
        deadline: Ends it.
        offered: Further options, for a platform that has them.
        on_progress: Told how far the tools are, where they say it: "[57/153]".
        forks: Starts the platform's server; None for a process by itself.

    Returns:
        What that made, by paths relative to the project; None if the platform does not tell.

    Raises:
        ConfigError: An option that the platform refuses.
        BuildError: A missing tool, or a failed build; `details` has the tools' output.
    """
    from . import lifecycle

    return lifecycle.build_project(project_dir, options, deadline, offered, on_progress, forks)


def flash_project(project_dir: Path, options: Mapping[str, Any], deadline: Deadline) -> None:
    """Write a built project's firmware to its board; an emulator has nothing to do.

    Raises:
        ConfigError: An option that the platform refuses.
        FlashError: The firmware did not reach the board.
    """
    from . import lifecycle

    lifecycle.flash_project(project_dir, options, deadline)
