"""Another package with a platform, and a board that it serves."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent


def platforms() -> Path:
    """The folder of the platforms."""
    return _HERE / "platforms"


def boards() -> Path:
    """The folder of the boards."""
    return _HERE / "boards"
