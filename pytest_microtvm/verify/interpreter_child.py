"""Runs a model by its own interpreter; a program of `forks`.

A process of its own, because a model that was made to hurt may crash an interpreter. Standard input
is an `.npz` file of the inputs (input_0, ...); standard output becomes one of the outputs
(output_0, ...), with --layers of every operator's outputs (layer_0_0, ...), and of `about`: a JSON
text as bytes, see `Interpreted` in `interpreters`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

MEMORY_BYTES = 8 << 30
_ADDRESSES_OF_TORCH = 64 << 30
"""PyTorch with CUDA maps most of that before it runs anything."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one model once."""
    parser = argparse.ArgumentParser(prog="python -m pytest_microtvm.verify.interpreter_child")
    parser.add_argument("model", type=Path)
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--signature", type=json.loads, help="its name, inputs and outputs as JSON")
    options = parser.parse_args(arguments)
    suffix = options.model.suffix.lower()
    if arguments is None:  # this process is the interpreter's
        limit = _ADDRESSES_OF_TORCH if suffix == ".pt2" else MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # What libraries print must not get between.
    result = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    given = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    inputs = [given[f"input_{index}"] for index in range(len(given.files))]
    steps = list(zip(*inputs, strict=True)) if options.steps else [inputs]
    if suffix == ".onnx":
        from pytest_microtvm.verify.run_onnxruntime import run_onnx

        about, arrays = run_onnx(options.model, steps, options.layers)
    elif suffix == ".pt2":
        from pytest_microtvm.verify.run_torch import run_program

        about, arrays = run_program(options.model, steps, options.layers)
    else:
        from pytest_microtvm.verify.run_litert import run_litert, run_signature

        if options.signature is None:
            about, arrays = run_litert(options.model, steps, options.layers)
        else:
            about, arrays = run_signature(options.model, steps, *options.signature)
    if not options.steps:
        arrays = {name: array[0] for name, array in arrays.items()}
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez(buffer, about=text, **arrays)  # type: ignore[arg-type]
    with result:
        result.write(buffer.getvalue())
    return 0
