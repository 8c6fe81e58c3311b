"""Where a pytest configuration keeps the run of this plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_microtvm.face.run import Run

RUN_KEY: pytest.StashKey[Run] = pytest.StashKey()


def run_of(config: pytest.Config) -> Run | None:
    """The run of a pytest configuration; None where no board was named."""
    return config.stash.get(RUN_KEY, None)
