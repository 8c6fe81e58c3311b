"""ONNX's own test cases of each operator, compiled and compared with the results that they state.

A case is compiled as it is, or else with all inputs but the first as constants: what says shapes,
axes and counts has to be known.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import defs, helper, numpy_helper

from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.compiler.frontends.onnx import import_onnx
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.onnx.comparing import Array, floats, made, node

FIRST_OPSET, LAST_OPSET = 13, 23
TOLERANCE = 1e-5
HALF_TOLERANCE = 1e-2
"""For cases of 16-bit floats, which are computed in 32 bits here."""
_GENERATORS = frozenset(
    {
        "BlackmanWindow",
        "ConstantOfShape",
        "HammingWindow",
        "HannWindow",
        "MelWeightMatrix",
        "Range",
    }
)
"""Operators all of whose inputs are parameters: they are computed when the model is compiled."""
_BY_ONNXRUNTIME = frozenset(
    f"test_resize_downsample_scales_{mode}_align_corners" for mode in ("cubic", "linear")
)
"""Cases that place corners by a broken number of elements, against ONNX's own text."""
_HALVES = ("bfloat16", "float16")


@dataclass(frozen=True)
class Case:
    """A model of one operator, with inputs and the results that ONNX states.

    Args:
        name: Of the case.
        operator: What it is for.
        model: An `onnx.ModelProto`.
        inputs: In the model's order.
        expected: In the order of the outputs.
    """

    name: str
    operator: str
    model: Any
    inputs: list[Array]
    expected: list[Array]


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Args:
        kind: "equal", "differs" or "refused".
        text: How it differs, or why it is refused.
    """

    kind: str
    text: str = ""


def operators() -> list[str]:
    """The operators of ONNX in the versions 13 to 23 that are not deprecated."""
    schemas = [s for s in defs.get_all_schemas_with_history() if s.domain == ""]
    names = {schema.name for schema in schemas if schema.since_version <= LAST_OPSET}
    return sorted(name for name in names if not _was_deprecated(name))


def _was_deprecated(name: str) -> bool:
    """Whether an operator was out of use when the first of the versions came."""
    try:
        return bool(defs.get_schema(name, max_inclusive_version=FIRST_OPSET).deprecated)
    except defs.SchemaError:  # it is newer
        return False


@cache
def cases() -> dict[str, list[Case]]:
    """The cases by operator; none for operators that ONNX has no case of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        collected = [*map(_case, collect_testcases(None))]
    found: dict[str, list[Case]] = {name: [] for name in operators()}
    for case in [*_own_cases(), *collected]:
        if case is not None and case.operator in found:
            found[case.operator].append(case)
    return found


def _case(collected: Any) -> Case | None:
    """ONNX's case as ours; None where it is no tensors, or an operator by its simpler ones."""
    graph = collected.model.graph
    operator = graph.node[-1].op_type
    if "_expanded" in collected.name or len({n.op_type for n in graph.node} - {"Constant"}) > 1:
        return None
    inputs, expected = collected.data_sets[0]
    if collected.name in _BY_ONNXRUNTIME:
        session = onnxruntime.InferenceSession(collected.model.SerializeToString())
        names = [value.name for value in session.get_inputs()]
        expected = session.run(None, dict(zip(names, inputs, strict=True)))
    arrays = [[_array(value) for value in values] for values in (inputs, expected)]
    return Case(collected.name, operator, collected.model, arrays[0], arrays[1])


def _array(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return value if isinstance(value, (list, dict)) else np.asarray(value)


def _own_cases() -> Iterator[Case]:
    """Of operators that ONNX has no case of."""
    image = floats(1, 2, 3, 4)
    model = made([node("GlobalLpPool", "x", p=2)], {"x": ("FLOAT", [1, 2, 3, 4])})
    norm = np.sqrt((image**2).sum(axis=(2, 3), keepdims=True))
    yield Case("global_lp_pool", "GlobalLpPool", model, [image], [norm])
    square = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    model = made(
        [node("MaxRoiPool", "x rois", pooled_shape=[2, 2])],
        {"x": ("FLOAT", [1, 1, 4, 4]), "rois": ("FLOAT", [1, 5])},
    )
    rois = np.array([[0, 0, 0, 3, 3]], np.float32)
    expected = np.array([[[[5, 7], [13, 15]]]], np.float32)
    yield Case("max_roi_pool", "MaxRoiPool", model, [square, rois], [expected])


def imported(case: Case) -> Outcome:
    """Whether a case is imported; nothing is computed."""
    try:
        for attempt in _attempts(case):
            try:
                import_onnx(attempt[0].SerializeToString())
                return Outcome("equal")
            except ModelError as error:
                refusal = error
        return Outcome("refused", str(refusal))
    except ModelError as error:
        return Outcome("refused", str(error))


def computed(case: Case, folder: Path) -> Outcome:
    """What a case compiles to, compared with what ONNX states.

    Args:
        case: It.
        folder: An empty one.
    """
    refusal = ""
    for number, (model, inputs) in enumerate(_attempts(case)):
        path = folder / str(number) / "model.onnx"
        path.parent.mkdir(parents=True)
        path.write_bytes(model.SerializeToString())
        try:
            files = compile_to_files(path)
        except ModelError as error:
            refusal = refusal or str(error)
            continue
        results = NativeModel(files, path.parent, ("-O0",))(*map(_widened, inputs))
        return _compared(case, results)
    return Outcome("refused", refusal)


def _attempts(case: Case) -> Iterator[tuple[Any, list[Array]]]:
    """The model with its inputs; and with all but the first as constants."""
    yield case.model, case.inputs
    if len(case.inputs) > 1 and all(isinstance(array, np.ndarray) for array in case.inputs):
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        names = [value.name for value in model.graph.input]
        for name, array in list(zip(names, case.inputs, strict=True))[1:]:
            model.graph.initializer.append(numpy_helper.from_array(array, name))
        yield model, case.inputs[:1]
    if case.operator in _GENERATORS:
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        for value, array in zip(model.graph.input, case.inputs, strict=True):
            model.graph.initializer.append(numpy_helper.from_array(array, value.name))
        del model.graph.input[:]
        model.graph.input.append(
            helper.make_tensor_value_info("unused", onnx.TensorProto.FLOAT, [1])
        )
        yield model, [np.zeros(1, np.float32)]


def _widened(array: Array) -> Array:
    return array.astype(np.float32) if str(array.dtype) in _HALVES else array


def _compared(case: Case, results: list[Array]) -> Outcome:
    for stated, result in zip(case.expected, results, strict=False):
        wanted = _widened(stated)
        if (result.shape, result.dtype) != (wanted.shape, wanted.dtype):
            return Outcome(
                "differs",
                f"{result.dtype}{list(result.shape)} for {wanted.dtype}{list(wanted.shape)}",
            )
        if np.issubdtype(wanted.dtype, np.floating):
            limit = HALF_TOLERANCE if wanted.dtype != stated.dtype else TOLERANCE
            same = np.allclose(result, wanted, rtol=limit, atol=limit, equal_nan=True)
        else:
            same = np.array_equal(result, wanted)
        if not same:
            difference = np.abs(result.astype(np.float64) - wanted.astype(np.float64))
            return Outcome("differs", f"by {np.nanmax(difference):.3g}")
    return Outcome("equal")
