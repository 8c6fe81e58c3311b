"""Integer kernels against LiteRT's reference kernels, byte for byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_microtvm.compiler.integer import groups
from pytest_microtvm.compiler.integer.kernels import generate
from tests.operators.generators import GENERATORS, cases
from tests.operators.packs import Pack

SEED = 20_240
PACKS = 6
CASES = 120
"""In each pack; `scripts/bench operators` runs as many as one likes."""


@pytest.mark.parametrize("number", range(PACKS))
def test_all_operators_give_the_reference_s_bytes(number: int, tmp_path: Path):
    pack = Pack(cases(SEED + number, CASES), tmp_path)
    assert pack.differences(np.random.default_rng(number)) == []


@pytest.fixture
def flipped(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Flips a bit in each multiplier of the first kernel that has some; collects that kernel.

    What is flipped is about a hundredth of the factor.
    """
    found: list[Any] = []

    def generate_flipped(spec: Any, simd: Any) -> Any:
        if not found and hasattr(spec, "requantization"):
            found.append(spec)
            multipliers = spec.requantization.multipliers ^ (1 << 24)
            changed = replace(spec.requantization, multipliers=multipliers)
            spec = replace(spec, requantization=changed)
        return generate(spec, simd)

    monkeypatch.setattr(groups, "generate", generate_flipped)
    return found


@pytest.mark.parametrize(
    "kind", ["conv2d", "depthwise_conv2d", "fully_connected", "add", "subtract", "multiply", "mean"]
)
def test_one_wrong_bit_in_a_multiplier_is_found(kind: str, tmp_path: Path, flipped: list[Any]):
    rng = np.random.default_rng(SEED)
    drawn = [GENERATORS[kind][0](rng) for _ in range(8)]
    differing = Pack(drawn, tmp_path).differences(rng, ("uniform", "edges", "narrow") * 5)
    assert len(flipped) == 1
    assert [difference.case.rpartition(" (")[0] for difference in differing] == [drawn[0].name]
