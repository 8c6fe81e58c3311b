"""The plugin's options and ini keys: declared, read and checked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microtvm.errors import ConfigError

if TYPE_CHECKING:
    from pytest_microtvm.boards import Board

EXECUTORS = ("aot", "graph", "host_driven")
REFERENCES = ("host", *EXECUTORS, "litert")
NAMED_SUFFIXES = (".tflite", ".onnx", ".json", ".tar")
"""Models that can be named: TFLite, ONNX, a Relax module saved as JSON, an MLF archive."""
FOUND_SUFFIXES = (".tflite", ".onnx")
"""Models that are found in a folder; the other suffixes are used for too many other things."""
KEPT_PROJECTS = "microtvm_projects"


@dataclass(frozen=True)
class Settings:
    """The options and ini keys of a run, checked.

    Attributes:
        boards: Names, in the order of the command line.
        executors: Names, likewise.
        cache_dir: The build cache; None for one that lasts as long as the run.
        cache_limit_bytes: Its size.
        inputs: An `.npz` file; None to make inputs.
        build_only: Stop after the build.
        keep_projects: Where generated projects are copied to, or None.
        reference: What outputs are compared with: one of `REFERENCES` or the path of an `.npz`.
        timeout_s: For opening a device and for each call to it.
        rtol: Relative tolerance for floats.
        atol: Absolute tolerance for floats.
        json_path: Where the records go, or None.
    """

    boards: tuple[str, ...]
    executors: tuple[str, ...]
    cache_dir: Path | None
    cache_limit_bytes: int
    inputs: Path | None
    build_only: bool
    keep_projects: Path | None
    reference: str | Path
    timeout_s: float
    rtol: float
    atol: float
    json_path: Path | None


def add_options(parser: pytest.Parser) -> None:
    """Declare every option, with its ini key where a project would want to set it for good."""
    group = parser.getgroup("microtvm", "machine-learning models on microcontrollers")

    def add(name: str, help_text: str, ini: str | None = None, **kwargs: Any) -> None:
        if ini is not None:
            help_text += f" (ini: {ini})"
        group.addoption(
            f"--microtvm-{name}",
            dest=f"microtvm_{name.replace('-', '_')}",
            help=help_text,
            **kwargs,
        )

    add(
        "board",
        "run on these boards: a comma list, may be repeated",
        ini="microtvm_board",
        action="append",
        metavar="NAMES",
    )
    add(
        "platform",
        "only boards of this platform; without --microtvm-board, all of them",
        ini="microtvm_platform",
        metavar="NAME",
    )
    add(
        "executor",
        f"run with these executors: a comma list of {', '.join(EXECUTORS)}",
        ini="microtvm_executor",
        action="append",
        metavar="NAMES",
    )
    add(
        "inputs",
        "take the models' inputs from this .npz file, one array per input; made up otherwise",
        ini="microtvm_inputs",
        metavar="PATH",
    )
    add(
        "reference",
        "compare with the host, another executor on the same board, LiteRT's reference kernels, or "
        f"an .npz file of outputs: {', '.join(REFERENCES)} or PATH.npz",
        ini="microtvm_reference",
        metavar="NAME",
    )
    add("build-only", "compile and build, but run nothing", action="store_true")
    add(
        "cache-dir",
        "keep what was compiled and built here",
        ini="microtvm_cache_dir",
        metavar="DIR",
    )
    add("no-cache", "compile and build everything anew, keep nothing", action="store_true")
    add(
        "keep-projects",
        f"copy each generated project to {KEPT_PROJECTS}/ below pytest's root folder",
        action="store_true",
    )
    add(
        "boards-dir",
        "find more board definitions (NAME.toml) here; may be repeated",
        ini="microtvm_boards_dir",
        action="append",
        metavar="DIR",
    )
    add("list-boards", "list the boards there are, and exit", action="store_true")
    add(
        "timeout",
        "how long opening a device, or one call to it, may take; 60 unless set",
        ini="microtvm_timeout",
        metavar="SECONDS",
    )
    add("json", "write a record of the run here", ini="microtvm_json", metavar="PATH")

    parser.addini("microtvm_board", "boards to run on", type="args")
    parser.addini("microtvm_platform", "only boards of this platform")
    parser.addini("microtvm_executor", "executors to run with", type="args")
    parser.addini("microtvm_inputs", "an .npz file with the models' inputs")
    parser.addini("microtvm_reference", "what outputs are compared with", default="host")
    parser.addini("microtvm_cache_dir", "where compiled and built things are kept")
    parser.addini("microtvm_cache_size_mb", "how large the cache may grow", default="2048")
    parser.addini("microtvm_boards_dir", "folders with board definitions", type="args")
    parser.addini(
        "microtvm_timeout", "seconds for opening a device, or one call to it", default="60"
    )
    parser.addini("microtvm_json", "where a record of the run is written")
    parser.addini("microtvm_rtol", "relative tolerance for floats", default="1e-5")
    parser.addini("microtvm_atol", "absolute tolerance for floats", default="1e-6")


def asks_for_boards(config: pytest.Config) -> bool:
    """Whether an option or ini key names a board or a platform."""
    return bool(_comma_list(config, "board")) or _text(config, "platform") is not None


def read_settings(config: pytest.Config, boards: dict[str, Board]) -> Settings:
    """Read and check what was asked for.

    Args:
        config: pytest's configuration.
        boards: All known boards by name.

    Raises:
        ConfigError: An option or ini key has a value that cannot be used.
    """
    executors = _comma_list(config, "executor") or [EXECUTORS[0]]
    for executor in executors:
        if executor not in EXECUTORS:
            raise ConfigError(
                f"unknown executor {executor!r}", cure=f"executors: {', '.join(EXECUTORS)}"
            )
    inputs = _path(config, "inputs")
    if inputs is not None and not inputs.is_file():
        raise ConfigError(f"there is no file {inputs}", cure="check --microtvm-inputs")
    option = config.option
    return Settings(
        boards=select_boards(boards, _comma_list(config, "board"), _text(config, "platform")),
        executors=tuple(executors),
        cache_dir=None if option.microtvm_no_cache else _cache_dir(config),
        cache_limit_bytes=int(_number(config, "cache_size_mb") * 1e6),
        inputs=inputs,
        build_only=option.microtvm_build_only,
        keep_projects=(config.rootpath / KEPT_PROJECTS if option.microtvm_keep_projects else None),
        reference=_reference(config),
        timeout_s=_number(config, "timeout", above_zero=True),
        rtol=_number(config, "rtol"),
        atol=_number(config, "atol"),
        json_path=_path(config, "json"),
    )


def load_known_boards(config: pytest.Config) -> dict[str, Board]:
    """Every board that can be named: ours, those of `--microtvm-boards-dir` and of hooks.

    Raises:
        ConfigError: A folder or a definition is wrong.
    """
    from pytest_microtvm.boards import load_boards

    folders = _paths(config, "boards_dir")
    for found in config.hook.pytest_microtvm_board_directories(config=config):
        folders += [config.rootpath / path for path in found]
    return load_boards(folders)


def select_boards(
    boards: dict[str, Board], names: Sequence[str], platform: str | None
) -> tuple[str, ...]:
    """Find the boards that were named.

    Args:
        boards: All there are.
        names: What was asked for; none with `platform` means all of that platform.
        platform: Only boards of this one.

    Raises:
        ConfigError: A board or platform is unknown, or a board is of another platform.
    """
    platforms = sorted({board.platform for board in boards.values()})
    if platform is not None and platform not in platforms:
        raise ConfigError(
            f"no board has the platform {platform!r}", cure=f"platforms: {', '.join(platforms)}"
        )
    for name in names:
        if name not in boards:
            raise ConfigError(
                f"unknown board {name!r}",
                cure=f"boards: {', '.join(boards)}; add your own with --microtvm-boards-dir",
            )
        if platform is not None and boards[name].platform != platform:
            raise ConfigError(
                f"board {name} belongs to platform {boards[name].platform}, not {platform}",
                cure="leave --microtvm-platform out, or name a board of that platform",
            )
    if platform is not None and not names:
        names = [name for name, board in boards.items() if board.platform == platform]
    return tuple(dict.fromkeys(names))


def _text(config: pytest.Config, name: str) -> str | None:
    """The value of an option, or else of its ini key; None where neither is set."""
    value = getattr(config.option, f"microtvm_{name}", None)
    if value is None:
        value = config.getini(f"microtvm_{name}")
    return value or None


def _comma_list(config: pytest.Config, name: str) -> list[str]:
    """The names in a repeatable option of comma lists, or else in its ini key; each once."""
    values = getattr(config.option, f"microtvm_{name}") or config.getini(f"microtvm_{name}")
    names = [part.strip() for value in values for part in value.split(",")]
    return list(dict.fromkeys(filter(None, names)))


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
    name = _text(config, "reference") or ""
    if name in REFERENCES:
        return name
    path = _path(config, "reference")
    if path is None or path.suffix != ".npz":
        raise ConfigError(
            f"unknown reference {name!r}",
            cure=f"references: {', '.join(REFERENCES)}, or the path of an .npz file",
        )
    if not path.is_file():
        raise ConfigError(f"there is no file {path}", cure="check --microtvm-reference")
    return path


def _number(config: pytest.Config, name: str, *, above_zero: bool = False) -> float:
    text = _text(config, name)
    try:
        number = float(text or "")
    except ValueError:
        number = float("nan")
    if not (number > 0 if above_zero else number >= 0) or number == float("inf"):
        raise ConfigError(
            f"microtvm_{name} is {text!r}",
            cure=f"give a number {'above 0' if above_zero else 'of 0 or more'}",
        )
    return number


def _cache_dir(config: pytest.Config) -> Path:
    path = _path(config, "cache_dir")
    if path is None:
        # As the XDG Base Directory Specification says.
        base = Path(os.environ.get("XDG_CACHE_HOME", ""))
        path = (base if base.is_absolute() else Path.home() / ".cache") / "pytest-microtvm"
    return path
