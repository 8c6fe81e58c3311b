"""The table of operators in the docs, held to what the compiler does."""

from __future__ import annotations

from tests.operators import coverage

MOST_REFUSED = 1


def test_the_page_tells_what_becomes_of_each_operator():
    expected = coverage.page()
    assert coverage.PAGE.read_text(encoding="utf-8") == expected, "scripts/bench coverage --write"
    refused = [line for line in expected.splitlines() if "refused" in line and line[0] == "|"]
    assert len(refused) <= MOST_REFUSED
