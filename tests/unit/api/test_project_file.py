"""What a project remembers, and what is refused of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_microtvm.api.project_file import PROJECT_FILE, ProjectRecord
from pytest_microtvm.errors import ConfigError

RECORD = ProjectRecord(
    "baremetal", "aot", "b01d", {"board": "x", "warning_as_error": True}, 2, "a.elf", 1
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    assert ProjectRecord.read(tmp_path) == RECORD
    assert [path.name for path in tmp_path.iterdir()] == [PROJECT_FILE]


def test_a_folder_without_one_has_none(tmp_path: Path) -> None:
    assert ProjectRecord.read(tmp_path) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2, "colour": "red"}, "was written by a newer version"),
        ({"version": True}, "is damaged"),
        ({"version": None}, "is damaged"),
        ({"options": []}, "is damaged"),
        ({"built": "2"}, "is damaged"),
        ({"colour": "red"}, "is damaged"),
    ],
)
def test_others_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    RECORD.write(tmp_path)
    path = tmp_path / PROJECT_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ConfigError, match=message):
        ProjectRecord.read(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", '"', "7"])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / PROJECT_FILE).write_text(text)
    with pytest.raises(ConfigError, match=r"is damaged|cannot be read"):
        ProjectRecord.read(tmp_path)
