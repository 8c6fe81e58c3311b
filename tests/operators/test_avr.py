"""Operators on an AVR, where `int` has 16 bits, against LiteRT."""

from __future__ import annotations

import shutil

import pytest

from pytest_microtvm.project.server import emulator_tools
from tests.operators.avr import differences_on_avr, emulator
from tests.operators.catalogue import draw

pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")

OPERATORS = (
    "conv_2d",
    "depthwise_conv_2d",
    "fully_connected",
    "softmax",
    "less",
    "logistic_int16",
    "l2_normalization",
    "prelu",
    "float_depthwise_conv_2d",
    "lstm",
    "while",
    "round",
)
"""Each kind of arithmetic; `scripts/bench operators --board mega2560` takes all of them."""


def test_operators_give_the_reference_s_bytes(tmp_path):
    if shutil.which("avr-gcc") is None:
        pytest.skip("avr-gcc is not installed: apt-get install gcc-avr avr-libc")
    if any(tool.path is None for tool in emulator_tools(emulator())):
        pytest.skip("libsimavr is not installed: apt-get install libsimavr-dev")
    cases = list(draw(len(OPERATORS), seed=2, operators=OPERATORS))
    wrong, ran = differences_on_avr(cases, tmp_path)
    assert not wrong, "\n".join(map(str, wrong))
    assert {case.operator for case in ran} == set(OPERATORS)
