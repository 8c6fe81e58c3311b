"""The options and ini keys of a run that names boards: read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_microtvm.boards import Board, load_boards
from pytest_microtvm.boards.selection import Readiness, board_of, select_boards
from pytest_microtvm.compiler.options import parse_input_shapes
from pytest_microtvm.compiler.pools import Memory, parse_memory
from pytest_microtvm.compiler.tuning_files import UNTUNED
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.executors import EXECUTORS
from pytest_microtvm.face.options import KEPT_PROJECTS, comma_list, text_of
from pytest_microtvm.flow.cache import default_cache_directory
from pytest_microtvm.lab.file import LabBoard, find_lab_file, load_lab
from pytest_microtvm.measure.baseline import DEFAULT_LIMITS, Limit, parse_limits
from pytest_microtvm.measure.budgets import Budget, parse_budgets
from pytest_microtvm.measure.metrics import METRICS
from pytest_microtvm.project.platforms import Platform, find_platform, load_platforms
from pytest_microtvm.project.support import readiness_of
from pytest_microtvm.verify.references import REFERENCES, check_reference

ASK_TIMEOUT_S = 60.0
"""For each platform, to say which boards can run here."""


@dataclass(frozen=True)
class Settings:
    """The options and ini keys of a run, checked.

    Attributes:
        boards: Labels, in the order of the command line.
        boards_by_name: Those of them that were named, not found by a glob or tag.
        platforms: All platforms by name.
        executors: Names, likewise.
        cache_dir: The build cache; None for one that lasts as long as the run.
        cache_limit_bytes: Its size.
        inputs: An `.npz` file; None to make inputs.
        input_shapes: Of inputs whose shapes a model leaves open, by name.
        signature: The signature of models that is compiled, or None.
        custom_operators: Python files with custom operators of models.
        memory: The pools that models have.
        tuning: A tuning log, `none`, or None for those that come with the package.
        build_only: Stop after the build.
        keep_projects: Where generated projects are copied to, or None.
        reference: What outputs are compared with: one of `REFERENCES` or the path of an `.npz`.
        timeout_s: For opening a device and for each call to it.
        lab: The real boards that are here.
        lease_timeout_s: For waiting until one of them is free.
        rtol: Relative tolerance for floats.
        equal_nan: Whether a NaN is right where the reference has one.
        check_models: Whether compiled models are held to the models' own interpreters.
        compile_timeout_s: How long compiling a model may take.
        compile_memory_bytes: Address space that it may take.
        atol: Absolute tolerance for floats.
        json_path: Where the records go, or None.
        html_path: Where the report goes, or None.
        markdown_path: Where the run goes as Markdown, or None.
        baseline: The records that figures are held to, or None.
        baseline_update: Whether the run is written there.
        limits: How far figures may grow, by name.
        budgets: What model files may take.
        count_instructions: Whether emulators count them.
    """

    boards: tuple[str, ...]
    boards_by_name: frozenset[str]
    platforms: Mapping[str, Platform]
    executors: tuple[str, ...]
    cache_dir: Path | None
    cache_limit_bytes: int
    inputs: Path | None
    input_shapes: dict[str, tuple[int, ...]]
    signature: str | None
    custom_operators: tuple[str, ...]
    memory: Memory
    tuning: str | None
    build_only: bool
    keep_projects: Path | None
    reference: str | Path
    timeout_s: float
    lab: tuple[LabBoard, ...]
    lease_timeout_s: float
    rtol: float
    atol: float
    equal_nan: bool
    check_models: bool
    compile_timeout_s: float
    compile_memory_bytes: int
    json_path: Path | None
    html_path: Path | None
    markdown_path: Path | None
    baseline: Path | None
    baseline_update: bool
    limits: Mapping[str, Limit]
    budgets: tuple[Budget, ...]
    count_instructions: bool


_LARGEST = 1e9
"""Of any number: thirty years in seconds, a petabyte in megabytes."""


def read_settings(config: pytest.Config, boards: dict[str, Board]) -> Settings:
    """Read and check what was asked for.

    Args:
        config: pytest's configuration.
        boards: All known boards by name.

    Raises:
        ConfigError: An option or ini key has a value that cannot be used.
    """
    executors = comma_list(config, "executor") or [EXECUTORS[0]]
    for executor in executors:
        if executor not in EXECUTORS:
            raise ConfigError(
                f"unknown executor {executor!r}", cure=f"executors: {', '.join(EXECUTORS)}"
            )
    inputs = _path(config, "inputs")
    if inputs is not None and not inputs.is_file():
        raise ConfigError(f"there is no file {inputs}", cure="check --microtvm-inputs")
    option = config.option
    platforms = load_known_platforms(config)
    chosen = comma_list(config, "platform")
    for name in chosen:
        find_platform(platforms, name)  # there has to be one
    lab = _load_lab(config, boards)
    in_lab = {board.kind for board in lab}
    selection = select_boards(
        boards,
        comma_list(config, "board"),
        chosen,
        None if option.microtvm_build_only else in_lab,
        lambda pool: readiness_of(pool, platforms, in_lab, Deadline(ASK_TIMEOUT_S)),
    )
    for label in selection.boards:
        find_platform(platforms, board_of(boards, label).platform)  # there has to be one
    return Settings(
        boards=selection.boards,
        boards_by_name=selection.by_name,
        platforms=platforms,
        executors=tuple(executors),
        cache_dir=None if option.microtvm_no_cache else _cache_dir(config),
        cache_limit_bytes=int(_number(config, "cache_size_mb") * 1e6),
        inputs=inputs,
        input_shapes=parse_input_shapes(
            option.microtvm_input_shapes or config.getini("microtvm_input_shapes")
        ),
        signature=option.microtvm_signature or config.getini("microtvm_signature") or None,
        custom_operators=_custom_operators(config),
        memory=_memory(config),
        tuning=_tuning(config),
        build_only=option.microtvm_build_only,
        keep_projects=(config.rootpath / KEPT_PROJECTS if option.microtvm_keep_projects else None),
        reference=_reference(config),
        timeout_s=_number(config, "timeout", above_zero=True),
        lab=lab,
        lease_timeout_s=_number(config, "lease_timeout"),
        rtol=_number(config, "rtol"),
        atol=_number(config, "atol"),
        equal_nan=config.getini("microtvm_equal_nan"),
        check_models=config.getini("microtvm_model_check") and not option.microtvm_no_model_check,
        compile_timeout_s=_number(config, "compile_timeout", above_zero=True),
        compile_memory_bytes=int(_number(config, "compile_memory_mb", above_zero=True) * (1 << 20)),
        json_path=_path(config, "json"),
        html_path=_path(config, "html"),
        markdown_path=_path(config, "markdown"),
        baseline=_baseline(config),
        baseline_update=option.microtvm_baseline_update,
        limits=parse_limits(config.getini("microtvm_limits"), METRICS) or DEFAULT_LIMITS,
        budgets=parse_budgets(config.getini("microtvm_budgets"), METRICS),
        count_instructions=not option.microtvm_no_instructions,
    )


def _tuning(config: pytest.Config) -> str | None:
    """The tuning log: of the option, or of the ini key, below the root folder."""
    named = config.option.microtvm_tuning
    if named:
        return str(named)
    in_ini = str(config.getini("microtvm_tuning") or "")
    return str(config.rootpath / in_ini) if in_ini not in ("", UNTUNED) else in_ini or None


def _custom_operators(config: pytest.Config) -> tuple[str, ...]:
    """The files with custom operators: of the option, or of the ini key, below the root folder."""
    named = [Path.cwd() / file for file in config.option.microtvm_custom_operators or ()]
    files = named or [config.rootpath / file for file in config.getini("microtvm_custom_operators")]
    for file in files:
        if not file.is_file():
            raise ConfigError(
                f"there is no file {file} with custom operators",
                cure="check --microtvm-custom-operators",
            )
    return tuple(map(str, files))


def load_known_boards(config: pytest.Config) -> dict[str, Board]:
    """Every board that can be named: ours, those of `--microtvm-boards-dir` and of hooks.

    Raises:
        ConfigError: A folder or a definition is wrong.
    """
    folders = _paths(config, "boards_dir")
    for found in config.hook.pytest_microtvm_board_directories(config=config):
        folders += [config.rootpath / path for path in found]
    return load_boards(folders)


def load_known_platforms(config: pytest.Config) -> dict[str, Platform]:
    """Every platform: ours, those of packages, of `--microtvm-platforms-dir` and of hooks.

    Raises:
        ConfigError: A folder is wrong.
    """
    folders = _paths(config, "platforms_dir")
    for found in config.hook.pytest_microtvm_platform_directories(config=config):
        folders += [config.rootpath / path for path in found]
    return load_platforms(folders)


def known_readiness(config: pytest.Config, boards: dict[str, Board]) -> dict[str, Readiness]:
    """What of boards can be had on this machine, by label.

    Raises:
        ConfigError: A folder, a definition or the lab file is wrong.
    """
    in_lab = {board.kind for board in _load_lab(config, boards)}
    platforms = load_known_platforms(config)
    return readiness_of(boards.values(), platforms, in_lab, Deadline(ASK_TIMEOUT_S))


def _load_lab(config: pytest.Config, boards: dict[str, Board]) -> tuple[LabBoard, ...]:
    here, option = config.invocation_params.dir, config.option.microtvm_lab
    configured = config.getini("microtvm_lab")
    path = find_lab_file(
        here / option if option else None,
        _ini_directory(config) / configured if configured else None,
        here,
    )
    return () if path is None else load_lab(path, boards)


def _paths(config: pytest.Config, name: str) -> list[Path]:
    """The paths in a repeatable option, or else in its ini key."""
    given = getattr(config.option, f"microtvm_{name}")
    if given:
        return [config.invocation_params.dir / path for path in given]
    return [_ini_directory(config) / path for path in config.getini(f"microtvm_{name}")]


def _path(config: pytest.Config, name: str) -> Path | None:
    """A path: an option is relative to the current folder, an ini key to the ini file's."""
    given = getattr(config.option, f"microtvm_{name}")
    if given:
        return Path(config.invocation_params.dir / given)
    configured = config.getini(f"microtvm_{name}")
    return _ini_directory(config) / configured if configured else None


def _ini_directory(config: pytest.Config) -> Path:
    return config.inipath.parent if config.inipath is not None else config.rootpath


def _reference(config: pytest.Config) -> str | Path:
    name = text_of(config, "reference") or ""
    if name in REFERENCES or not name.endswith(".npz"):
        return check_reference(name)
    path = _path(config, "reference")
    assert path is not None
    return check_reference(path)


def _baseline(config: pytest.Config) -> Path | None:
    path, updates = _path(config, "baseline"), config.option.microtvm_baseline_update
    if updates and path is None:
        raise ConfigError(
            "--microtvm-baseline-update needs a file", cure="name it with --microtvm-baseline=PATH"
        )
    if path is not None and not updates and not path.is_file():
        raise ConfigError(
            f"there is no baseline {path}", cure="--microtvm-baseline-update writes one"
        )
    return path


def _number(config: pytest.Config, name: str, *, above_zero: bool = False) -> float:
    text = text_of(config, name)
    try:
        number = float(text or "")
    except ValueError:
        number = float("nan")
    if not (number > 0 if above_zero else number >= 0) or number > _LARGEST:
        least = "above 0" if above_zero else "of 0 or more"
        raise ConfigError(
            f"microtvm_{name} is {text!r}", cure=f"give a number {least}, {_LARGEST:g} at most"
        )
    return number


def _cache_dir(config: pytest.Config) -> Path:
    path = _path(config, "cache_dir")
    return default_cache_directory() if path is None else path


def _memory(config: pytest.Config) -> Memory:
    """The pools that are named; files of pools are found from the root of the run."""
    texts = config.option.microtvm_pool or config.getini("microtvm_pools")
    return parse_memory(
        str(config.rootpath / text) if text.endswith(".toml") and "=" not in text else text
        for text in texts
    )
