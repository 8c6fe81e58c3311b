"""Indices that are known at run time only: no kernel reads or writes beyond its tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_microtvm.compiler import compile_to_files
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.relax_models import TensorType, relax_module
from tests.unit.compiler.tflite_models import Model, Operator, Tensor

Array = np.ndarray[Any, Any]

DATA: TensorType = ([4, 3], "float32")
VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)
UPDATES = np.array([[100, 200, 300], [400, 500, 600]], np.float32)
FAR = 1 << 30
"""What is read or written so far away ends a process."""


def _put(places: Any, updates: Any) -> Array:
    result = VALUES.copy()
    result[places] = updates
    return result


def _body(operator: str, *arguments: Any, **options: Any) -> Callable[..., Any]:
    def body(data: Any, *given: Any) -> Any:
        from tvm import relax

        return getattr(relax.op, operator)(data, *given, *arguments, **options)

    return body


def _body_of_tuples(operator: str) -> Callable[..., Any]:
    def body(data: Any, rows: Any, columns: Any, *rest: Any) -> Any:
        from tvm import relax

        return getattr(relax.op, operator)(data, relax.Tuple([rows, columns]), *rest)

    return body


def _ids(*rows: Any) -> Array:
    return np.array(rows, np.int32)


CASES: dict[str, tuple[Callable[..., Any], list[Array], Array]] = {
    "take": (_body("take", axis=0), [_ids(1, -1, 4, FAR, -5, -FAR)], VALUES[[1, 3, 3, 3, 0, 0]]),
    "gather_elements": (
        _body("gather_elements", axis=1),
        [_ids([FAR, -1], [0, 3], [1, 1], [-FAR, 2])],
        np.array([[2, 2], [3, 5], [7, 7], [9, 11]]),
    ),
    "gather_nd": (
        _body("gather_nd"), [np.array([[4, 0], [-1, -1], [FAR, FAR]])], np.array([9, 11, 11])
    ),
    "scatter_elements": (
        _body("scatter_elements", axis=0),
        [_ids([FAR, 1, -1], [0, 0, -FAR]), UPDATES],
        _put((_ids(3, 1, 3, 0, 0, 0), _ids(0, 1, 2, 0, 1, 2)), UPDATES.reshape(-1)),
    ),
    "scatter_nd": (
        _body("scatter_nd"), [_ids([FAR], [-4]), UPDATES], _put(_ids(3, 0), UPDATES)
    ),
    "index_tensor": (
        _body_of_tuples("index_tensor"), [_ids(FAR, -4), _ids(-1, 3)], np.array([11, 2])
    ),
    "index_put": (
        _body_of_tuples("index_put"),
        [_ids(FAR, -4), _ids(-1, 3), UPDATES[0, :2]],
        _put((_ids(3, 0), _ids(2, 2)), UPDATES[0, :2]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_index_beyond_an_axis_is_the_nearest_on_it(case: str, tmp_path: Path):
    body, inputs, expected = CASES[case]
    module = relax_module(body, DATA, *((each.shape, str(each.dtype)) for each in inputs))
    model = NativeModel(compile_to_files(module), tmp_path)
    [result] = model(VALUES, *inputs)
    np.testing.assert_array_equal(result, expected)


def test_known_indices_cost_nothing(tmp_path: Path):
    def body(data: Any) -> Any:
        from tvm import relax

        return relax.op.take(data, relax.const(np.array([-1, 2, 9])), axis=0)

    model = NativeModel(compile_to_files(relax_module(body, DATA)), tmp_path)
    np.testing.assert_array_equal(model(VALUES)[0], VALUES[[3, 2, 3]])
    assert len(model.library.kernels) == 1


LIMITS = {
    "take": 4, "gather_elements": 3, "gather_nd": 3, "scatter_elements": 4, "scatter_nd": 4
}  # fmt: skip


@pytest.mark.parametrize(("case", "limit"), LIMITS.items())
def test_made_inputs_are_told_the_axis_that_they_number(case: str, limit: int):
    body, inputs, _ = CASES[case]
    module = relax_module(body, DATA, *((each.shape, str(each.dtype)) for each in inputs))
    from pytest_microtvm.compiler.frontends.imported import imported

    limits = [port.index_limit for port in imported(module, None, None).inputs]
    assert limits == [None, limit, None][: len(limits)]


def test_short_indices_reach_all_of_a_large_tensor(tmp_path: Path):
    tensors = [
        Tensor("x", [300, 200]),
        Tensor("places", [2, 2], "INT16"),
        Tensor("y", [2]),
    ]
    path = tmp_path / "net.tflite"
    operator = Operator("GATHER_ND", [0, 1], [2])
    path.write_bytes(Model(tensors, [operator], [0, 1], [2]).to_bytes())
    values = np.arange(60000, dtype=np.float32).reshape(300, 200)
    model = NativeModel(compile_to_files(path), tmp_path)
    [result] = model(values, np.array([[299, 199], [250, 3]], np.int16))
    assert result.tolist() == [59999, 50003]


def test_indices_of_an_axis_of_one_element_are_not_computed(tmp_path: Path):
    def body(data: Any, places: Any) -> Any:
        from tvm import relax

        twice = relax.op.add(places, places)
        return relax.op.take(data, twice, axis=0, mode="clip")

    module = relax_module(body, ([1, 3], "float32"), ([2], "int32"))
    model = NativeModel(compile_to_files(module), tmp_path)  # unused variables are errors
    [result] = model(VALUES[:1], np.array([0, 7], np.int32))
    np.testing.assert_array_equal(result, VALUES[[0, 0]])
    assert all("intermediate" not in source.read_text() for source in model.root.rglob("*.c"))
