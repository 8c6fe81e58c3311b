import threading

import pytest

from pytest_microtvm.flow.progress import long_step


def test_a_step_is_told_once_when_it_begins():
    told: list[str] = []
    with long_step("building", told.append):
        assert told == ["building"]
    assert told == ["building"]


def test_a_long_step_is_told_again_until_it_ends():
    told: list[str] = []
    again = threading.Event()

    def tell(line):
        told.append(line)
        if len(told) == 3:
            again.set()

    with long_step("building", tell, again_s=0.01):
        assert again.wait(30)
    assert told[0] == "building"
    assert set(told[1:]) == {"building (0 s)"}
    after = len(told)
    assert "microtvm-progress" not in {thread.name for thread in threading.enumerate()}
    assert len(told) == after


def test_a_step_that_fails_ends():
    with pytest.raises(ValueError, match="no"), long_step("building", lambda line: None):
        raise ValueError("no")
    assert "microtvm-progress" not in {thread.name for thread in threading.enumerate()}


def test_a_long_step_tells_how_far_it_is():
    told: list[str] = []
    again = threading.Event()

    def tell(line):
        told.append(line)
        if line.endswith("[57/153]"):
            again.set()

    with long_step("building", tell, again_s=0.01) as step:
        step.reach("[57/153]")
        assert again.wait(30)
    assert told[-1] == "building (0 s) [57/153]"
