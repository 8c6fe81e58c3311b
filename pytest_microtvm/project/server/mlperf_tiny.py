"""What a benchmark of MLPerf Tiny does before and after its model, as macros for mlperftiny.c."""

from __future__ import annotations

import json
from typing import NamedTuple

from .errors import ProjectError
from .interface import InterfaceTensor, ModelInterface

_RANGES = {"int8": (-128, 127), "uint8": (0, 255)}
_FLOAT = "float32"


class _Benchmark(NamedTuple):
    """A benchmark: the elements of its input, and what a loaded one is (see mlperftiny.c)."""

    elements: int
    load: str
    has_error: bool = False


_BENCHMARKS = {
    "ic01": _Benchmark(32 * 32 * 3, "IMAGE"),
    "kws01": _Benchmark(49 * 10, "BYTES"),
    "vww01": _Benchmark(96 * 96 * 3, "IMAGE"),
    "ad01": _Benchmark(5 * 128, "FLOATS", has_error=True),
}
_LOADS = ("BYTES", "IMAGE", "FLOATS")
_SHAPES = "32x32x3 for ic01, 49x10 for kws01, 96x96x3 for vww01, 640 for ad01"


def benchmark_values(model: ModelInterface, name: str, *, is_energy: bool) -> dict[str, str]:
    """The macros of a benchmark.

    Args:
        model: The model.
        name: The benchmark, or "auto" to tell it from the size of the model's input.
        is_energy: Timestamps are pulses of a pin.

    Raises:
        ProjectError: The model is not of that benchmark.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1 or model.has_state:
        raise ProjectError(
            f"{model.name} is no model of MLPerf Tiny: it has {len(model.inputs)} inputs, "
            f"{len(model.outputs)} outputs{' and states' if model.has_state else ''}",
            cure="give one that has one input and one output",
        )
    (source,), (result,) = model.inputs, model.outputs
    known = {each.elements: key for key, each in _BENCHMARKS.items()}
    if name == "auto":
        name = known.get(source.elements, "")
        if not name:
            raise ProjectError(
                f"{model.name} has an input of {source.elements} elements, which no benchmark of "
                "MLPerf Tiny has",
                cure=f"give a model of one ({_SHAPES}), or name the one that it stands for: "
                f"benchmark={'|'.join(_BENCHMARKS)}",
            )
    benchmark = _BENCHMARKS[name]
    _check(model, name, benchmark)
    smallest, largest = _RANGES.get(source.dtype, (0, 0))
    return {
        "MICROTVM_MLPERF_BENCHMARK": json.dumps(name),
        **{f"MICROTVM_MLPERF_LOAD_{load}": str(int(load == benchmark.load)) for load in _LOADS},
        "MICROTVM_MLPERF_ERROR": str(int(benchmark.has_error)),
        "MICROTVM_MLPERF_ENERGY": str(int(is_energy)),
        **_tensor_values("INPUT", source),
        **_tensor_values("OUTPUT", result),
        "MICROTVM_MLPERF_INPUT_MIN": f"({smallest})",
        "MICROTVM_MLPERF_INPUT_MAX": f"({largest})",
    }


def _check(model: ModelInterface, name: str, benchmark: _Benchmark) -> None:
    """Refuse element types that the benchmark cannot load or print."""
    (source,), (result,) = model.inputs, model.outputs
    allowed = [*_RANGES, _FLOAT] if benchmark.load == "FLOATS" else list(_RANGES)
    for label, tensor, types in (
        ("input", source, allowed),
        ("output", result, [*_RANGES, _FLOAT]),
    ):
        if tensor.dtype not in types:
            raise ProjectError(
                f"{model.name} has an {label} of {tensor.dtype}, which {name} does not take",
                cure=f"give a model whose {label} is {' or '.join(types)}",
            )
        if tensor.dtype != _FLOAT and tensor.scale is None:
            raise ProjectError(
                f"{model.name} has an {label} of {tensor.dtype} without a scale",
                cure="give a quantized model",
            )
    if benchmark.has_error and source.elements != result.elements:
        raise ProjectError(
            f"{model.name} gives {result.elements} elements for {source.elements}, which {name} "
            "compares",
            cure="give an autoencoder",
        )


def _tensor_values(label: str, tensor: InterfaceTensor) -> dict[str, str]:
    scale = 1.0 if tensor.scale is None else tensor.scale
    prefix = f"MICROTVM_MLPERF_{label}"
    return {
        f"{prefix}_TYPE": tensor.c_type,
        f"{prefix}_ELEMENTS": f"{tensor.elements}u",
        f"{prefix}_SCALE": f"{scale:.9e}f",
        f"{prefix}_ZERO_POINT": f"({tensor.zero_point})",
        f"{prefix}_IS_FLOAT": str(int(tensor.dtype == _FLOAT)),
    }
