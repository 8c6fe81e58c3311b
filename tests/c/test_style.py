"""What clang-format (scripts/test) does not see of the C that is written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("pytest_microtvm/measure", "pytest_microtvm/platforms", "pytest_microtvm/runtime")
SOURCES = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".c", ".h", ".S", ".ld") or path.name == "Makefile"
)
LICENSE = "SPDX-License-Identifier: Apache-2.0"
MAX_COLUMNS = 100
MAX_LINES = 500


def test_there_are_sources() -> None:
    assert {path.suffix for path in SOURCES} == {".c", ".h", ".S", ".ld", ""}
    assert len(SOURCES) > 60


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_its_license_says_what_it_is_and_is_short(path: Path) -> None:
    first, second, *rest = path.read_text(encoding="utf-8").splitlines()
    comment = "# {}" if path.name == "Makefile" else "/* {} */"
    assert first == comment.format(LICENSE)
    assert second.startswith(comment[:3].rstrip("{"))
    assert len(rest) + 2 <= MAX_LINES
    assert [line for line in (second, *rest) if len(line) > MAX_COLUMNS] == []
