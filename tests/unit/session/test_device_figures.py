"""What a real board's own counter of cycles comes to."""

from __future__ import annotations

import pytest

from pytest_microtvm.errors import TargetError
from pytest_microtvm.session.device_figures import DeviceCycles, read_stack


def test_the_run_that_took_most_is_kept() -> None:
    cycles = DeviceCycles()
    told = iter(["mcycle 500", "mcycle 90000", "mcycle 70"])
    for _ in range(3):
        cycles.read(lambda _name: next(told), 1000.0)
    assert (cycles.counter, cycles.most) == ("mcycle", 90_000)
    cycles.forget()
    assert cycles.most is None


def test_what_may_have_begun_anew_is_left_out() -> None:
    cycles = DeviceCycles()
    cycles.read(lambda _name: "DWT 5", 4.3)  # 32 bits at 1 GHz are 4.29 s
    assert cycles.most is None
    assert "longer than DWT counts" in cycles.why
    cycles.read(lambda _name: "DWT 4200000000", 4.2)
    assert cycles.most == 4_200_000_000


def test_a_board_without_a_counter_has_no_cycles() -> None:
    cycles = DeviceCycles()
    cycles.read(lambda _name: "", 0.1)
    assert (cycles.counter, cycles.most) == ("", None)
    assert "no counter of cycles" in cycles.why


def test_runtimes_that_do_not_tell_are_no_error() -> None:
    def refused(name: str) -> str:
        raise TargetError(f"there is no function {name}")

    cycles = DeviceCycles()
    cycles.read(refused, 0.1)
    assert cycles.most is None
    assert read_stack(refused) is None


@pytest.mark.parametrize(("told", "used"), [(612, 612), (0, None), ("x", None)])
def test_a_stack_that_is_not_painted_has_no_mark(told: object, used: int | None) -> None:
    assert read_stack(lambda _name: told) == used
