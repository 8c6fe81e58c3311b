"""A list whose items nothing told yet: until the first one is put into it."""

from __future__ import annotations

from dataclasses import dataclass

LIST = "variant"
"""The element type of tensors that are lists."""


@dataclass(frozen=True)
class OpenList:
    """A list of tensors of an unknown shape.

    Args:
        count: How many they are.
    """

    count: int
