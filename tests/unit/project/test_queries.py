"""Options are asked of a server once, and again when what decides them has changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.project import queries
from pytest_microtvm.project.queries import KnownOptions, query_options

TEMPLATE = Path(__file__).parents[2] / "contract" / "third_party"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders whose servers were asked."""
    folders: list[Path] = []
    ask = queries._ask

    def note(directory: Path, timeout_s: float) -> KnownOptions:
        folders.append(directory)
        return ask(directory, timeout_s)

    monkeypatch.setattr(queries, "_ask", note)
    return folders


def test_an_answer_is_kept_until_the_template_changes(tmp_path: Path, asked: list[Path]) -> None:
    template = tmp_path / "template"
    shutil.copytree(TEMPLATE, template)
    first = query_options(template, tmp_path / "answers", 10.0)
    assert query_options(template, tmp_path / "answers", 10.0) == first
    assert asked == [template]
    assert (first.platform_name, first.is_template) == ("third_party", True)
    (board,) = (option for option in first.options if option.name == "board")
    assert (board.choices, board.required) == (("cat", "dog"), ("generate_project",))
    server = template / "microtvm_api_server.py"
    server.write_text(server.read_text().replace('("cat", "dog")', '("cat", "fox")'))
    (board,) = (
        option
        for option in query_options(template, tmp_path / "answers", 10.0).options
        if option.name == "board"
    )
    assert board.choices == ("cat", "fox")
    assert len(asked) == 2


@pytest.mark.parametrize("damage", ["", "{}", "x\n{}"])
def test_a_damaged_answer_is_asked_for_again(
    tmp_path: Path, asked: list[Path], damage: str
) -> None:
    first = query_options(TEMPLATE, tmp_path, 10.0)
    (kept,) = tmp_path.iterdir()
    kept.write_text(damage)
    assert query_options(TEMPLATE, tmp_path, 10.0) == first
    assert len(asked) == 2


def test_a_folder_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert query_options(TEMPLATE, tmp_path / "file" / "answers", 10.0).options


def test_a_folder_without_a_server(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no microtvm_api_server"):
        query_options(tmp_path, tmp_path / "answers", 10.0)
