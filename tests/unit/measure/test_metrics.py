"""Figures in a test's hands."""

import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.measure.metrics import Metric, Metrics

FLASH = Metric(30_194, "bytes", "ELF loaded sections")


def test_a_figure_compares_with_numbers_and_figures():
    assert FLASH < 30_195
    assert FLASH <= 30_194 <= FLASH
    assert FLASH > 30_193.5
    assert FLASH == 30_194
    assert FLASH > 10_000
    assert Metric(40_000, "bytes", "elsewhere") > FLASH
    assert max(FLASH, Metric(1, "bytes", "x")) is FLASH
    assert float(FLASH) == 30_194.0
    assert len({FLASH, 30_194}) == 1


def test_a_figure_that_is_absent_says_why():
    metrics = Metrics(flash_bytes=FLASH, absent={"instructions": "only an emulator counts them"})
    assert not metrics.instructions
    for use in (
        lambda: metrics.instructions < 5,
        lambda: metrics.instructions == 5,
        lambda: metrics.instructions > 5,
        lambda: metrics.instructions.value,
        lambda: metrics.instructions.samples,
    ):
        with pytest.raises(ConfigError) as caught:
            use()
        assert caught.value.message == (
            "there is no figure instructions: only an emulator counts them"
        )
    with pytest.raises(ConfigError, match="there is no figure latency_us: nothing was run"):
        assert metrics.latency_us < 5
    with pytest.raises(AttributeError):
        getattr(metrics, "instruction")  # noqa: B009 (a slip is one)
    assert dict(metrics.items()) == {"flash_bytes": FLASH}


def test_what_assert_shows_is_short():
    metrics = Metrics(flash_bytes=FLASH)
    assert repr(metrics.flash_bytes) == "30,194 bytes"
    assert repr(metrics) == "<1 metrics>"
    assert repr(metrics.latency_us) == "none: nothing was run"
