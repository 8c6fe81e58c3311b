"""The runtime stays as small as docs/size.md says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.c.sizes import EXECUTORS, documented, measure

MAX_FLASH_BYTES = 12 * 1024
MAX_RAM_BYTES = 1024
SLACK = 0.03  # another version of the compiler


@pytest.mark.parametrize("executor", EXECUTORS)
def test_takes_what_the_documentation_says(executor: str, tmp_path: Path) -> None:
    size, promised = measure(executor, tmp_path), documented()[executor]
    assert abs(size.flash - promised.flash) <= SLACK * promised.flash, size
    assert size.ram == promised.ram
    assert size.ram <= MAX_RAM_BYTES
    if executor != "graph":
        assert size.flash <= MAX_FLASH_BYTES
