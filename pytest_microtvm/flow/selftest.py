"""A model that needs no compiler, to find out whether a board can be flashed and answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pytest_microtvm.executors import AOT
from pytest_microtvm.mlf.library import ModelLibrary, open_library, write_library

NAME = "selftest"
ELEMENTS = 64

_HEADER = "/* The self-test is called by its table, not by a header. */\n"
# y[i] = x[i] * table[i] + i, so that constants in flash and arithmetic take part.
_SOURCE = """\
#include <stdint.h>
#include <microtvm/model.h>

static const int32_t shape[1] = {ELEMENTS};
static const MicroTVMTensorInfo inputs[1] = {{"x", ELEMENTS * 4, 1, kMicroTVMTypeInt, 32, shape}};
static const MicroTVMTensorInfo outputs[1] = {{"y", ELEMENTS * 4, 1, kMicroTVMTypeInt, 32, shape}};
static const int32_t table[ELEMENTS] = {TABLE};

static int32_t Run(void *const *in, void *const *out, uint8_t *workspace) {
  const int32_t *x = in[0];
  int32_t *y = out[0];
  int32_t i;
  (void)workspace;
  for (i = 0; i < ELEMENTS; ++i) {
    y[i] = x[i] * table[i] + i;
  }
  return 0;
}

const MicroTVMModel tvmgen_selftest_model = {"selftest", 1, 1, inputs, outputs, 0, Run, 0, 0};
"""


def _table(step: int) -> NDArray[np.int32]:
    return ((np.arange(ELEMENTS) * step) % 101).astype(np.int32)


def write_selftest(path: Path, step: int = 37) -> ModelLibrary:
    """Write the model as an MLF archive.

    Args:
        path: The archive.
        step: Makes another model, which answers differently.

    Returns:
        The model: int32 `x` of shape (64,) in, int32 `y` of the same shape out.
    """
    tensor = {"size": 4 * ELEMENTS, "dtype": "int32", "shape": [ELEMENTS]}
    x, y = ({**tensor, "c_name": name} for name in "xy")
    main = {
        "device": 1,
        "workspace_size_bytes": 0,
        "constants_size_bytes": 4 * ELEMENTS,
        "io_size_bytes": 8 * ELEMENTS,
        "inputs": {"x": x},
        "outputs": {"y": y},
    }
    module = {
        "model_name": NAME,
        "executors": [AOT],
        "memory": {"functions": {"main": [main], "operator_functions": []}},
    }
    source = _SOURCE.replace("{ELEMENTS}", f"{{{ELEMENTS}}}").replace("ELEMENTS", str(ELEMENTS))
    source = source.replace("TABLE", ", ".join(map(str, _table(step))))
    files = {
        "metadata.json": json.dumps({"version": 8, "modules": {NAME: module}}),
        f"codegen/host/include/tvmgen_{NAME}.h": _HEADER,
        f"codegen/host/src/{NAME}_model.c": source,
    }
    write_library(path, {name: text.encode() for name, text in files.items()})
    return open_library(path)


def selftest_inputs() -> NDArray[np.int32]:
    """What the model is given."""
    return np.arange(ELEMENTS, dtype=np.int32) * 1009 - 31000


def selftest_outputs(step: int = 37) -> NDArray[np.int32]:
    """What it has to answer to that."""
    outputs = selftest_inputs() * _table(step) + np.arange(ELEMENTS)
    return outputs.astype(np.int32)
