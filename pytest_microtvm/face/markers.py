"""The markers: what they take, and what they say of a test."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microtvm.errors import ConfigError

if TYPE_CHECKING:
    from pytest_microtvm.boards import Board
    from pytest_microtvm.compiler.options import Reading

MODEL_MARKER = "microtvm_model"
BOARD_MARKER = "microtvm_board"
SKIP_MARKER = "skip_boards"

LINES = (
    f"{MODEL_MARKER}(path, ..., input_shapes={{NAME: SHAPE}}, signature=NAME): the model that the "
    "microtvm fixtures run, and how it is read; a test of each, if there are several",
    f"{BOARD_MARKER}(requires_ram=BYTES, requires_flash=BYTES, only=PATTERNS, skip=PATTERNS): the "
    "boards that a test is for",
    f"{SKIP_MARKER}(*patterns): boards that a test is kept from",
)
"""How `pytest --markers` tells of them."""

_BYTES = ("requires_ram", "requires_flash")
_PATTERNS = ("only", "skip")


@dataclass(frozen=True)
class NamedModel:
    """A model that a marker names.

    Attributes:
        path: As the marker has it.
        how: The marker's keywords: how the model is read.
    """

    path: str
    how: Mapping[str, Any]


def named_models(definition: pytest.Item) -> list[NamedModel]:
    """The models that a test's markers name: those of the test itself, or else of its class, ...

    Args:
        definition: The test, before or after it is parametrized.

    Raises:
        ConfigError: A marker does not name models.
    """
    marked = list(definition.iter_markers_with_node(MODEL_MARKER))
    # A mark of `pytest.param` is of one set of parameters, and goes before all others.
    callspec = getattr(definition, "callspec", None)
    own = [mark for mark in getattr(callspec, "marks", ()) if mark.name == MODEL_MARKER]
    marks = own or [mark for node, mark in marked if node is marked[0][0]]
    models: list[NamedModel] = []
    for mark in reversed(marks):  # as they stand above the test
        if not mark.args or not all(isinstance(each, str | Path) for each in mark.args):
            raise ConfigError(
                f"{definition.nodeid}: the marker {MODEL_MARKER} takes one path or several",
                cure=f'write @pytest.mark.{MODEL_MARKER}("path/to/model.tflite")',
            )
        for path in mark.args:
            model = NamedModel(os.fspath(path), mark.kwargs)
            models += [model] if model not in models else []
    return models


def marked_model(item: pytest.Item) -> tuple[Path, Reading | None]:
    """The model that a test runs, and how it is read.

    Raises:
        ConfigError: No model is named, or there is no such file.
    """
    models = named_models(item)
    if not models:
        raise ConfigError(
            f"{item.nodeid} uses a microtvm fixture but names no model",
            cure=f'mark it with @pytest.mark.{MODEL_MARKER}("path/to/model.tflite")',
        )
    callspec = getattr(item, "callspec", None)
    number = getattr(callspec, "params", {}).get(MODEL_MARKER, 0)
    if len(models) > 1 and MODEL_MARKER not in getattr(callspec, "params", {}):
        raise ConfigError(
            f"{item.nodeid}: pytest.param names {len(models)} models", cure="name one in each"
        )
    how = models[number].how
    reading = _reading(item.nodeid, **how) if how else None
    model = Path(models[number].path)
    beside, below_root = item.path.parent / model, item.config.rootpath / model
    for path in (beside, below_root):
        if path.is_file():
            return path, reading
    raise ConfigError(
        f"{item.nodeid}: there is no model {model}, neither beside the test nor below "
        f"{item.config.rootpath}",
        cure="name a file relative to one of them",
    )


def _reading(
    nodeid: str, *, input_shapes: object = None, signature: object = None, **others: object
) -> Reading:
    """How a marker wants its model to be read."""
    from pytest_microtvm.compiler.options import Reading

    shapes = {} if input_shapes is None else input_shapes
    is_right = (
        not others
        and (signature is None or isinstance(signature, str))
        and isinstance(shapes, Mapping)
        and all(isinstance(name, str) for name in shapes)
        and all(isinstance(shape, Sequence) for shape in shapes.values())
        and all(isinstance(extent, int) for shape in shapes.values() for extent in shape)
    )
    if not is_right or not isinstance(shapes, Mapping):
        raise ConfigError(
            f"{nodeid}: the marker {MODEL_MARKER} takes input_shapes and signature beside the path",
            cure='write input_shapes={"input": (1, 49, 10, 1)}, signature="serving_default"',
        )
    signature = signature if isinstance(signature, str) else None
    return Reading({name: tuple(shape) for name, shape in shapes.items()}, signature)


def model_ids(models: Sequence[NamedModel]) -> list[str]:
    """What tells models apart in the ids of tests: names, or else paths, or else numbers."""
    paths = [model.path for model in models]
    names = [Path(path).name for path in paths]
    for ids in (names, paths):
        if len(set(ids)) == len(ids):
            return ids
    return [f"{path}-{number}" for number, path in enumerate(paths)]


def exclusion(
    item: pytest.Item, board: Board, known: Mapping[str, Board], lab: Iterable[str]
) -> str:
    """Why a test's markers keep it from a board; empty where they do not.

    Args:
        item: The test.
        board: The board.
        known: All boards, by name; a pattern has to mean one of them.
        lab: Names of boards that the lab has a real one of.

    Raises:
        ConfigError: A marker has arguments that it does not take.
    """
    from pytest_microtvm.boards.selection import matches

    in_lab = set(lab)
    reasons: list[str] = []
    for patterns in _skipped(item):
        _check_patterns(item, SKIP_MARKER, patterns, known)
        if any(matches(board, pattern, in_lab) for pattern in patterns):
            reasons.append(f"{SKIP_MARKER} names {board.label}")
    for marker in item.iter_markers(BOARD_MARKER):
        _check_arguments(item, marker)
        for name in _BYTES:
            kind, needed = name.removeprefix("requires_"), marker.kwargs.get(name, 0)
            there = board.memory_bytes(kind)
            if board.memory and there < needed:
                reasons.append(
                    f"{board.label} has {there} bytes of {kind}, this test requires {needed}"
                )
        only, skip = (_patterns([marker.kwargs.get(name, ())]) for name in _PATTERNS)
        _check_patterns(item, BOARD_MARKER, [*only, *skip], known)
        if only and not any(matches(board, pattern, in_lab) for pattern in only):
            reasons.append(f"{board.label} is not one of {', '.join(only)}")
        if any(matches(board, pattern, in_lab) for pattern in skip):
            reasons.append(f"{board.label} is excluded by this test")
    return reasons[0] if reasons else ""


def _skipped(item: pytest.Item) -> Iterator[list[str]]:
    for marker in item.iter_markers(SKIP_MARKER):
        if marker.kwargs or not marker.args:
            raise ConfigError(
                f"{item.nodeid}: the marker {SKIP_MARKER} takes names, globs and tags of boards",
                cure=f'write @pytest.mark.{SKIP_MARKER}("host", "arch:arm")',
            )
        yield _patterns(marker.args)


def _check_arguments(item: pytest.Item, marker: pytest.Mark) -> None:
    """Refuse what the board marker does not take."""
    names = (*_BYTES, *_PATTERNS)
    if marker.args:
        raise ConfigError(
            f"{item.nodeid}: the marker {BOARD_MARKER} takes no bare arguments",
            cure=f"name them: {', '.join(f'{name}=' for name in names)}",
        )
    for name, value in marker.kwargs.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            raise ConfigError(
                f"{item.nodeid}: the marker {BOARD_MARKER} has no {name}",
                cure=f"is {near[0]} meant?" if near else f"it takes {', '.join(names)}",
            )
        if name in _BYTES and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise ConfigError(
                f"{item.nodeid}: {name} of the marker {BOARD_MARKER} is {value!r}",
                cure="give a number of bytes",
            )


def _check_patterns(
    item: pytest.Item, marker: str, patterns: Iterable[object], known: Mapping[str, Board]
) -> None:
    """Refuse patterns that mean no board: a slip would go unnoticed."""
    from pytest_microtvm.boards.selection import matches, unknown_board

    every = [board.on(platform) for board in known.values() for platform in board.platforms]
    names = set(known)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise ConfigError(
                f"{item.nodeid}: the marker {marker} has {pattern!r}, which is no name of a board",
                cure="give strings: names, globs or tags",
            )
        if not any(matches(board, pattern, names) for board in every):
            unknown = unknown_board(pattern, known)
            raise ConfigError(
                f"{item.nodeid}: the marker {marker} has an {unknown.message}", cure=unknown.cure
            )


def _patterns(arguments: Iterable[Sequence[str] | str]) -> list[str]:
    """The patterns in a marker's arguments, each of which is one or a list of them."""
    patterns: list[str] = []
    for argument in arguments:
        is_list = isinstance(argument, list | tuple | set | frozenset)
        patterns += argument if is_list else [argument]  # type: ignore[list-item]
    return patterns
