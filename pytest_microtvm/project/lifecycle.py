"""Generate, build and flash, each with a server process of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..deadline import Deadline
from ..errors import ConfigError, MicroTVMError
from .client import ProjectAPIClient
from .descriptions import ServerDescription
from .options import check_options
from .server.api import BuiltFiles

_PACKAGE = Path(__file__).absolute().parents[1]
RUNTIME = _PACKAGE / "runtime"
SERVER = _PACKAGE / "project" / "server"
"""What every server of ours is made of."""


def generate_project(
    platform_dir: Path,
    library_path: Path,
    project_dir: Path,
    options: Mapping[str, Any],
    deadline: Deadline,
    offered: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """See `pytest_microtvm.project.generate_project`."""
    if project_dir.exists():
        raise ConfigError(f"{project_dir} exists already", cure="name a new folder")

    def generate(client: ProjectAPIClient, values: dict[str, Any]) -> None:
        client.generate_project(library_path, RUNTIME, project_dir, values, deadline)

    try:
        _run(
            platform_dir,
            "generate_project",
            options,
            deadline,
            generate,
            want_template=True,
            offered=offered,
        )
    except BaseException:
        shutil.rmtree(project_dir, ignore_errors=True)
        raise


def build_project(
    project_dir: Path,
    options: Mapping[str, Any],
    deadline: Deadline,
    offered: Mapping[str, Any] = MappingProxyType({}),
) -> BuiltFiles | None:
    """See `pytest_microtvm.project.build_project`."""
    built: list[BuiltFiles | None] = []

    def build(client: ProjectAPIClient, values: dict[str, Any]) -> None:
        built.append(client.build(values, deadline))

    _run(project_dir, "build", options, deadline, build, want_template=False, offered=offered)
    return built[0]


def flash_project(project_dir: Path, options: Mapping[str, Any], deadline: Deadline) -> None:
    """See `pytest_microtvm.project.flash_project`."""

    def flash(client: ProjectAPIClient, values: dict[str, Any]) -> None:
        client.flash(values, deadline)

    _run(project_dir, "flash", options, deadline, flash, want_template=False)


def _run(
    directory: Path,
    method: str,
    options: Mapping[str, Any],
    deadline: Deadline,
    step: Callable[[ProjectAPIClient, dict[str, Any]], None],
    *,
    want_template: bool,
    offered: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Start the server in `directory`, check `options` against it, and carry out one step."""
    try:
        with ProjectAPIClient(directory, deadline) as client:
            info = client.info
            _check_kind(directory, info, want_template)
            known = {option.name for option in info.options}
            given = {name: value for name, value in offered.items() if name in known}
            given.update(options)
            step(client, check_options(info.platform_name, method, info.options, given))
    except MicroTVMError as error:
        if error.board is None and "board" in options:
            error.board = str(options["board"])
        raise


def _check_kind(directory: Path, info: ServerDescription, want_template: bool) -> None:
    if info.is_template and not want_template:
        raise ConfigError(f"{directory} is a template, not a project", cure="generate a project")
    if want_template and not info.is_template:
        raise ConfigError(f"{directory} is a generated project, not a template")
