"""What a firmware project remembers: `.microtvm.json` in its folder.

Nothing in it depends on where the folder is, so that a copy of the project works as well.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pytest_microtvm.boards import Board, Cpu, PlatformTable, board_from_json
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.project.server.project import MODEL_FILE
from pytest_microtvm.project.server_process import SERVER_FILE

BOARD_FILE = "board.json"
PROJECT_FILE = ".microtvm.json"
VERSION = 1


@dataclass
class ProjectRecord:
    """What a project was made with, and how far it is.

    Attributes:
        platform: The platform whose template made it.
        executor: What walks the model's kernels.
        build_id: What its firmware calls itself; empty where the template does not build it in.
        options: The project options that were given.
        built: The number of builds so far.
        elf: The linked program, relative to the project; empty where the platform tells of none.
        flashed: The number of the build that was last written to a board; 0 for none.
        image: A hash of the program as it was flashed; empty where none could be read.
    """

    platform: str
    executor: str
    build_id: str
    options: dict[str, Any] = field(default_factory=dict)
    built: int = 0
    elf: str = ""
    flashed: int = 0
    image: str = ""

    def write(self, directory: Path) -> None:
        """Write it into a project.

        Raises:
            ConfigError: The folder cannot be written.
        """
        text = json.dumps({"version": VERSION, **asdict(self)}, indent=2) + "\n"
        temporary = directory / f"{PROJECT_FILE}.new"
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(directory / PROJECT_FILE)
        except (OSError, UnicodeEncodeError) as error:
            raise ConfigError(
                f"cannot write {directory / PROJECT_FILE}: {error}",
                cure="make the project's folder writable",
            ) from error

    @classmethod
    def read(cls, directory: Path) -> ProjectRecord | None:
        """Read that of a project; None where it has none.

        Raises:
            ConfigError: It is damaged, or a newer version of pytest-microtvm wrote it.
        """
        path = directory / PROJECT_FILE
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"{path} cannot be read: {error}", cure=_ANEW) from error
        version = data.pop("version", None) if isinstance(data, dict) else None
        if isinstance(version, int) and version > VERSION:
            raise ConfigError(
                f"{path} was written by a newer version of pytest-microtvm",
                cure="install that version, or create the project again",
            )
        kinds = {name: type(value) for name, value in vars(cls("", "", "")).items()}
        known = (
            type(version) is int
            and version == VERSION
            and data.keys() == kinds.keys()
            and all(type(data[name]) is kind for name, kind in kinds.items())
        )
        if not known:
            raise ConfigError(f"{path} is damaged", cure=_ANEW)
        return cls(**data)


_ANEW = "create the project again"


def board_of(directory: Path, record: ProjectRecord) -> Board:
    """The board of a project: its definition, or what a template says of it."""
    definition = directory / BOARD_FILE
    if definition.is_file():
        return board_from_json(definition.read_text(encoding="utf-8"))
    name = str(record.options.get("board") or record.platform)
    return Board(name=name, cpu=Cpu(arch=""), tables=(PlatformTable(record.platform),))


def holds_project(directory: Path) -> bool:
    """Whether a folder holds a generated project."""
    return (directory / SERVER_FILE).is_file() and (directory / MODEL_FILE).is_file()
