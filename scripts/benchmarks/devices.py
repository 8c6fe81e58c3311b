"""Firmware for the benchmarks of the link."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pytest_microtvm.boards import load_boards
from pytest_microtvm.compiler.options import CompileOptions
from pytest_microtvm.flow.cache import Cache
from pytest_microtvm.flow.workshop import Workshop
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.verify.inputs import Tensors, make_inputs

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "conftest_examples" / "models"
CACHE_LIMIT_BYTES = 1 << 30


def build_firmware(model: Path, board: str, cache_dir: Path) -> Firmware:
    """Compile a model and build its firmware, with the executor on the device."""
    cache = Cache(cache_dir, CACHE_LIMIT_BYTES)
    cache.open()
    workshop = Workshop(cache)
    library = workshop.compile(model, CompileOptions()).library
    return workshop.build(library, load_boards()[board], "aot")


def inputs_of(firmware: Firmware) -> Tensors:
    """The inputs that a test would use by default."""
    return make_inputs(firmware.library.name, firmware.library.inputs)


def same_bytes(left: Tensors, right: Tensors) -> bool:
    """Whether two sets of tensors are the same, bit by bit."""
    return left.keys() == right.keys() and all(
        np.array_equal(left[name].view(np.uint8), right[name].view(np.uint8)) for name in left
    )
