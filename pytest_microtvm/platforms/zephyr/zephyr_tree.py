"""What a Zephyr tree is: its version, its boards, and the state that it and its modules are in."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pytest_microtvm.project import server

OLDEST = (2, 7)
"""The first release that generated projects build with."""
_HARDWARE_MODEL = (3, 7)
"""Since this release boards are named NAME/SOC/VARIANT."""
_FIELD = re.compile(r"^(VERSION_MAJOR|VERSION_MINOR|PATCHLEVEL)\s*=\s*(\d+)", re.MULTILINE)
_BOARD_NAME = re.compile(r"^\s*-?\s*name:\s*['\"]?([A-Za-z0-9_.-]+)", re.MULTILINE)
_IDENTIFIER = re.compile(r"^identifier:\s*(\S+)", re.MULTILINE)
_PROJECT = re.compile(r"^\s+- name:\s*(\S+)((?:\n(?!\s+- name:).*)*)", re.MULTILINE)
_PROJECT_PATH = re.compile(r"^\s+path:\s*(\S+)", re.MULTILINE)
_GIT_TIMEOUT_S = 20.0
_SHOWN_BOARDS = 5
_GET_ZEPHYR = (
    "install Zephyr as its Getting Started Guide says (west init, west update), and set "
    "ZEPHYR_BASE to its folder zephyr"
)


@dataclass(frozen=True)
class ZephyrTree:
    """A Zephyr tree.

    Attributes:
        base: Its folder, what ZEPHYR_BASE names.
        version: As its file VERSION has it: major, minor, patch level.
    """

    base: Path
    version: tuple[int, int, int]

    @classmethod
    def open(cls, base: str | None) -> ZephyrTree:
        """Look at a tree.

        Args:
            base: What the option zephyr_base or ZEPHYR_BASE says; None if neither does.

        Raises:
            ProjectError: There is none, or it is too old.
        """
        if not base:
            raise server.ProjectError(
                "no Zephyr is named: ZEPHYR_BASE is not set", cure=_GET_ZEPHYR
            )
        folder = Path(base).expanduser()
        try:
            text = (folder / "VERSION").read_text(encoding="utf-8")
            fields = {name: int(value) for name, value in _FIELD.findall(text)}
            version = (fields["VERSION_MAJOR"], fields["VERSION_MINOR"], fields["PATCHLEVEL"])
        except (OSError, KeyError, UnicodeDecodeError):
            below = folder / "zephyr"
            cure = f"is {below} meant?" if (below / "VERSION").is_file() else _GET_ZEPHYR
            raise server.ProjectError(
                f"ZEPHYR_BASE is {folder}, which is no Zephyr tree: it has no file VERSION of one",
                cure=cure,
            ) from None
        if version < OLDEST:
            raise server.ProjectError(
                f"Zephyr {'.'.join(map(str, version))} in {folder} is too old",
                cure=f"use {'.'.join(map(str, OLDEST))} or a later one",
            )
        return cls(folder.absolute(), version)

    @property
    def has_hardware_model(self) -> bool:
        """Whether boards are named NAME/SOC/VARIANT."""
        return self.version >= _HARDWARE_MODEL

    def board_name(self, board: str, old_board: str) -> str:
        """What this tree calls a board.

        Args:
            board: Its name by the hardware model.
            old_board: What it was called before; empty for its name with underscores.
        """
        if not self.has_hardware_model:
            return old_board or board.replace("/", "_")
        name = board.partition("/")[0]
        # Qualifiers change between releases; the description of the board has those of this one.
        if old_board and not self._description(name, board.replace("/", "_")):
            identifier = _IDENTIFIER.search(self._description(name, old_board))
            if identifier is not None and identifier[1].partition("/")[0] == name:
                return identifier[1]
        return board

    def _description(self, name: str, file: str) -> str:
        """What twister reads of a board; nothing if there is no such file."""
        found = self.base.glob(f"boards/*/{name}/{file}.yaml")
        return "".join(_text_of(path) for path in found)

    def boards(self) -> list[str]:
        """The names of all boards; of those by the hardware model, without SoC and variant."""
        if not self.has_hardware_model:
            found = self.base.glob("boards/*/*/*_defconfig")
            return sorted({path.name.removesuffix("_defconfig") for path in found})
        names: set[str] = set()
        for path in self.base.glob("boards/*/*/board.yml"):
            names.update(_BOARD_NAME.findall(path.read_text(encoding="utf-8", errors="replace")))
        return sorted(names)

    def nearest_boards(self, name: str) -> list[str]:
        """The names of boards that a name may have been meant for."""
        known = self.boards()
        short = name.partition("/")[0]
        family = re.split(r"[_/]", short)[0]
        close = difflib.get_close_matches(short, known, _SHOWN_BOARDS, 0.6)
        kin = [each for each in known if each.startswith(family) and each not in close]
        return [*close, *kin][:_SHOWN_BOARDS]

    def modules(self) -> dict[str, Path]:
        """The modules that are there: their names by the manifest, and their folders."""
        places: dict[str, str] = {}
        for name, rest in _PROJECT.findall(_text_of(self.base / "west.yml")):
            path = _PROJECT_PATH.search(rest)
            places[name] = path[1] if path else name
        top = self.workspace()
        found = {name: top / place for name, place in places.items()} if top is not None else {}
        for variable in ("ZEPHYR_MODULES", "ZEPHYR_EXTRA_MODULES", "EXTRA_ZEPHYR_MODULES"):
            for text in filter(None, re.split("[;:]", os.environ.get(variable, ""))):
                found[_module_name(Path(text), places)] = Path(text)
        return {name: path for name, path in found.items() if path.is_dir()}

    def workspace(self) -> Path | None:
        """The west workspace that it is in; None if it is in none."""
        for folder in self.base.parents:
            if (folder / ".west" / "config").is_file():
                return folder
        return None

    def state(self) -> str:
        """A hash of the revision and of all changes of the tree and of its modules."""
        folders = [self.base, *self.modules().values()]
        with ThreadPoolExecutor(max_workers=4) as pool:
            states = pool.map(_state_of, folders)
        digest = hashlib.sha256(f"{self.base} {self.version}\n".encode())
        for folder, state in zip(folders, states, strict=True):
            digest.update(f"{folder} {state}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def _state_of(folder: Path) -> str:
    """The revision of a checkout and a hash of its changes; of other folders, of their files."""
    if (folder / ".git").exists():
        answers = [
            server.run_tool(["git", "-C", str(folder), *arguments], folder, _GIT_TIMEOUT_S)
            for arguments in (
                ("rev-parse", "HEAD"),
                ("-c", "core.fsmonitor=false", "diff", "HEAD", "--no-ext-diff", "--binary"),
            )
        ]
        if all(status == 0 for status, _ in answers):
            return hashlib.sha256("\0".join(text for _, text in answers).encode()).hexdigest()
    return _hash_of_times(folder.rglob("*"))


def _hash_of_times(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        try:
            about = path.stat()
        except OSError:
            continue
        digest.update(f"{path} {about.st_size} {about.st_mtime_ns}\n".encode(errors="replace"))
    return digest.hexdigest()


def unknown_board(tree: ZephyrTree, name: str) -> server.ProjectError:
    """The error for a board that a tree lacks."""
    near: Sequence[str] = tree.nearest_boards(name)
    version = ".".join(map(str, tree.version))
    return server.ProjectError(
        f"Zephyr {version} in {tree.base} has no board {name}",
        cure=f"the nearest ones are {', '.join(near)}" if near else "choose another Zephyr",
    )


def _module_name(folder: Path, places: Mapping[str, str]) -> str:
    """The name of a module: its own; else that of the manifest, if it is where that puts it."""
    match = re.search(r"^name:\s*(\S+)", _text_of(folder / "zephyr" / "module.yml"), re.MULTILINE)
    if match:
        return match[1]
    at_its_place = (name for name, place in places.items() if folder.match(place))
    return next(at_its_place, folder.name)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
