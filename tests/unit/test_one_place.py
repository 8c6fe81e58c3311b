"""Rules that stand in one place: servers stand alone and say them again, and say the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_microtvm.boards import Board, load_boards
from pytest_microtvm.compiler import program
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.executors import EXECUTORS
from pytest_microtvm.lab.file import load_lab
from pytest_microtvm.project import server
from pytest_microtvm.project.server import interface
from pytest_microtvm.verify.references import REFERENCES, reference_title

BOARDS = load_boards()


def test_servers_offer_the_executors_of_the_table() -> None:
    options = server.MakeProjectHandler(__file__).project_options()
    (option,) = (option for option in options if option.name == "executor")
    assert tuple(option.choices or ()) == EXECUTORS
    assert option.default == EXECUTORS[0]


def test_servers_know_the_element_types_of_the_compiler() -> None:
    assert interface.C_TYPES == program.C_TYPES


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
@pytest.mark.parametrize("in_lab", [False, True])
def test_servers_mean_a_real_board_when_the_host_does(board: Board, in_lab: bool) -> None:
    if in_lab and board.flash is None:
        return  # no lab can have one
    definition = {"flash": board.flash, "emulator": board.emulator}
    options = {"port": "/dev/ttyACM0"} if in_lab else {}
    assert server.is_real(definition, options) == board.is_real(in_lab)


def test_a_lab_takes_no_board_that_cannot_be_flashed(tmp_path: Path) -> None:
    lab = tmp_path / "microtvm-lab.toml"
    lab.write_text('[[board]]\nname = "x"\nkind = "qemu_x86"\nport = "/dev/ttyACM0"\n')
    with pytest.raises(ConfigError, match="does not say how a real one is flashed"):
        load_lab(lab, BOARDS)


def test_every_reference_has_a_title() -> None:
    titles = [reference_title(name) for name in REFERENCES]
    assert len(set(titles)) == len(titles)
    assert all(
        title.startswith("the executor") == (name in EXECUTORS)
        for name, title in zip(REFERENCES, titles, strict=True)
    )


def test_each_decision_has_a_number_of_its_own() -> None:
    pages = sorted((Path(__file__).parents[2] / "docs" / "adr").glob("0*.md"))
    numbers = [int(page.name.partition("-")[0]) for page in pages]
    assert len(set(numbers)) == len(numbers)
    for number, page in zip(numbers, pages, strict=True):
        assert page.read_text(encoding="utf-8").startswith(f"# {number}. "), page.name
