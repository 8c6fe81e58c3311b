"""What tuning takes of what was measured, and what it leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_microtvm.compiler.quantized.choices import Choice, Workload
from pytest_microtvm.compiler.quantized.specs import Window
from pytest_microtvm.compiler.tuning.records import Key
from pytest_microtvm.compiler.tuning.selection import Candidate, select
from pytest_microtvm.errors import BuildError
from pytest_microtvm.flow.tuning import Measurement, Tuner


@dataclass(frozen=True)
class Way(Choice):
    number: int


def key(width: int) -> Key:
    return Key("kernel", Workload((1, 1, width, 1), (1, 1, width, 1), Window((1, 1))), "core")


A, B = key(1), key(2)


def candidates(*figures: tuple[float, int]) -> list[Candidate]:
    return [
        Candidate(Way(number), cost, code_bytes)
        for number, (cost, code_bytes) in enumerate(figures)
    ]


def taken(limit_bytes: int, **figures: list[tuple[float, int]]) -> list[int]:
    keys = {"a": A, "b": B}
    measured = {keys[name]: candidates(*each) for name, each in figures.items()}
    return [each.choice.to_data()["number"] for each in select(measured, limit_bytes).values()]


def test_the_cheapest_is_taken_where_there_is_room():
    assert taken(100, a=[(100, 10), (90, 20), (80, 60)], b=[(50, 10), (60, 5)]) == [2, 0]


def test_what_saves_most_for_a_byte_is_taken_first():
    figures = {"a": [(100.0, 10), (60.0, 40)], "b": [(100.0, 10), (70.0, 20)]}
    assert taken(30, **figures) == [0, 1]
    assert taken(40, **figures) == [1, 1]


def test_smaller_code_makes_room():
    assert taken(0, a=[(100, 50), (90, 20)], b=[(100, 10), (90, 40)]) == [1, 1]


def test_what_needs_more_memory_than_there_is_is_left():
    own, larger = Candidate(Way(0), 100, 10, 64), Candidate(Way(1), 50, 10, 200)
    for arena_bytes, number in ((0, 0), (200, 0), (202, 1)):
        (chosen,) = select({B: [own, larger]}, 100, arena_bytes).values()
        assert chosen.choice == Way(number)


def test_what_saves_next_to_nothing_is_left():
    assert taken(100, a=[(1000, 10), (996, 10)]) == [0]


class Rehearsal(Tuner):
    """A tuner whose board is a table of costs; the second way of B breaks what it is built with."""

    def __init__(self) -> None:
        toolchains = SimpleNamespace(name_of=lambda board: "gcc")
        harness: Any = SimpleNamespace(workshop=SimpleNamespace(toolchains=toolchains))
        board: Any = SimpleNamespace(label="board", platform="p", cpu=SimpleNamespace(core="core"))
        self.said: list[str] = []
        super().__init__(harness, Path("model.tflite"), board, 100, self.said.append)
        self._own = self.measurement({A: Way(0), B: Way(0)})
        self._measured = {each: [Candidate(Way(0), self._own.costs[each], 10)] for each in (A, B)}

    @staticmethod
    def measurement(choices: Mapping[Key, Choice]) -> Measurement:
        costs = {each: 100.0 - 10 * choice.number for each, choice in choices.items()}  # type: ignore[attr-defined]
        sizes = dict.fromkeys(choices, 10)
        given = {
            each: (b"other" if choice == Way(2) else b"right",) for each, choice in choices.items()
        }
        calls = dict.fromkeys(choices, 1)
        needs = dict.fromkeys(choices, 0)
        return Measurement(costs, calls, sizes, needs, sum(costs.values()), given, "cycles")

    def _compile_with(self, choices: Mapping[Key, Choice], log: Path) -> Any:
        return {A: Way(0), B: Way(0), **choices}

    def _measure(self, library: Any) -> Measurement:
        if library[B] == Way(1):
            raise BuildError("the assembler gives up")
        return self.measurement(library)


def test_what_does_not_build_or_gives_other_bytes_is_left_out(tmp_path: Path):
    tuner = Rehearsal()
    for number in (1, 2):
        tuner._try({A: Way(number), B: Way(number)}, tmp_path / "log")
    chosen = tuner._chosen()
    assert [each.choice for each in chosen.values()] == [Way(1), Way(0)]
    assert [line.partition(":")[2] for line in tuner.said] == [
        " the assembler gives up",
        " it gives other bytes",
        " it gives other bytes",
    ]


def test_records_are_of_single_calls():
    tuner = Rehearsal()
    result = tuner._result(tuner._chosen(), None)
    assert [record.cost for record in result.records] == [100, 100]
    assert (result.metric, result.untuned, result.tuned, result.growth_bytes) == (
        "cycles",
        200,
        None,
        0,
    )
    assert result.records[0].source == "board, gcc"


def test_ctrl_c_keeps_what_was_measured(monkeypatch: pytest.MonkeyPatch):
    tuner = Rehearsal()
    ways = {A: (Way(0), Way(1), Way(1)), B: (Way(0), Way(3))}
    monkeypatch.setattr("pytest_microtvm.flow.tuning._ways_of", lambda library, board: ways)
    library = SimpleNamespace(states=())
    monkeypatch.setattr(tuner, "_compile", lambda tuning: library)
    tuner._harness.inputs = lambda library: {}  # type: ignore[method-assign]
    measure = tuner._measure
    answers = iter([lambda untuned: tuner._own, measure])

    def measured(library: Any) -> Measurement:
        for answer in answers:
            return answer(library)
        raise KeyboardInterrupt

    monkeypatch.setattr(tuner, "_measure", measured)
    found = tuner.tune()
    assert found.was_interrupted
    assert [record.choice for record in found.records] == [{"number": 1}, {"number": 3}]
