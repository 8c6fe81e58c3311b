"""The API with a cache that the tests of a process share."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_microtvm import Environment


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def said() -> list[str]:
    """What the API told of its progress."""
    return []


@pytest.fixture
def environment(cache: Path, said: list[str]) -> Environment:
    return Environment(cache_dir=cache, progress=said.append)
