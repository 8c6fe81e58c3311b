"""PyTorch, which is no dependency of the tests."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

INSTALL = "pip install 'pytest-microtvm[torch]'"


@pytest.fixture(scope="session")
def torch() -> Any:
    found = pytest.importorskip("torch", reason=f"PyTorch is not installed: {INSTALL}")
    # Registers the operators of quantization.
    importlib.import_module("torch.ao.quantization.fx._decomposed")
    return found
