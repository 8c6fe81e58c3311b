"""Generate, build and flash, each with a server process of its own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..deadline import Deadline
from ..errors import BuildError, ConfigError, MicroTVMError
from ..forks import Forks
from .client import ProjectAPIClient
from .descriptions import ServerDescription
from .options import check_options
from .server.api import BuiltFiles
from .server.project import MODEL_FILE

_MISSING_RUNTIME_FILE = re.compile(r"FileNotFoundError: .*/pytest_microtvm/runtime/([^']*)'")
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
    forks: Forks | None = None,
) -> None:
    """See `pytest_microtvm.project.generate_project`."""
    if project_dir.exists():
        raise ConfigError(f"{project_dir} exists already", cure="name a new folder")

    def generate(client: ProjectAPIClient, values: dict[str, Any]) -> None:
        try:
            client.generate_project(library_path, RUNTIME, project_dir, values, deadline)
        except BuildError as error:
            missing = _MISSING_RUNTIME_FILE.search(error.message)
            if missing is None or client.info.board_keys is not None:
                raise
            raise BuildError(
                f"the template of platform {client.info.platform_name} was written for TVM's own C "
                f"runtime: it takes {missing[1]} of it, which the runtime of this package lacks",
                cure="let it copy include/ and src/ of this one, as docs/porting.md says, or "
                "choose a platform of this package",
                operation=error.operation,
            ) from error

    try:
        _run(
            platform_dir,
            "generate_project",
            options,
            deadline,
            generate,
            want_template=True,
            offered=offered,
            forks=forks,
        )
        if not (project_dir / MODEL_FILE).exists():  # TVM's template for Arduino keeps it elsewhere
            shutil.copyfile(library_path, project_dir / MODEL_FILE)
    except BaseException:
        shutil.rmtree(project_dir, ignore_errors=True)
        raise


def build_project(
    project_dir: Path,
    options: Mapping[str, Any],
    deadline: Deadline,
    offered: Mapping[str, Any],
    on_progress: Callable[[str], None],
    forks: Forks | None = None,
) -> BuiltFiles | None:
    """See `pytest_microtvm.project.build_project`."""
    built: list[BuiltFiles | None] = []

    def build(client: ProjectAPIClient, values: dict[str, Any]) -> None:
        built.append(client.build(values, deadline))

    _run(
        project_dir,
        "build",
        options,
        deadline,
        build,
        want_template=False,
        offered=offered,
        on_progress=on_progress,
        forks=forks,
    )
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
    on_progress: Callable[[str], None] = lambda _: None,
    forks: Forks | None = None,
) -> None:
    """Start the server in `directory`, check `options` against it, and carry out one step."""
    try:
        client = ProjectAPIClient(
            directory, deadline, keep_waiting=lambda: on_progress(client.progress()), forks=forks
        )
        with client:
            info = client.info
            _check_kind(directory, info, want_template)
            known = {option.name for option in info.options}
            given = {name: value for name, value in offered.items() if name in known}
            given.update(options)
            step(client, check_options(info, method, given))
    except MicroTVMError as error:
        if error.board is None and "board" in options:
            error.board = str(options["board"])
        raise


def _check_kind(directory: Path, info: ServerDescription, want_template: bool) -> None:
    if info.is_template and not want_template:
        raise ConfigError(f"{directory} is a template, not a project", cure="generate a project")
    if want_template and not info.is_template:
        raise ConfigError(f"{directory} is a generated project, not a template")
