"""Lists that loops fill, as converters write them, built for the host and run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.errors import ModelError
from tests.operators.cases import Case, merged
from tests.operators.running import run_litert
from tests.unit.compiler.native import Array, NativeModel
from tests.unit.compiler.tflite_models import Model, Operator, Tensor

STEPS = 3
FACTOR = 0.5


def open_tensor(case: Case, extents: Sequence[int]) -> int:
    """A tensor whose extents of -1 the file leaves open; its index."""
    name = f"{case.operator}{len(case.tensors)}"
    stored = [max(1, extent) for extent in extents]
    case.tensors.append(Tensor(name, stored, shape_signature=extents))
    return len(case.tensors) - 1


def condition(*values: Sequence[int]) -> Model:
    """i < STEPS, of i and other values."""
    case = Case("holds", "holds")
    case.inputs = [case.add([], "int32"), *(open_tensor(case, extents) for extents in values)]
    case.run("LESS", [0, case.constant(np.int32(STEPS))], [case.add([], "bool")])
    return merged([case])


def body(next_start: int = 1) -> Model:
    """(i, items, x) -> (i + 1, items with the one of number i replaced by FACTOR * x, FACTOR * x).

    The item is joined to those before it and to those from `i + next_start` on.
    """
    case = Case("step", "step")
    i, items, x = (
        case.add([], "int32"),
        open_tensor(case, [-1, -1, 2]),
        open_tensor(case, [-1, 2]),
    )
    more, following = case.add([], "int32"), case.add([], "int32")
    one, factor = case.constant(np.int32(1)), case.add([], "float32", data=np.float32(FACTOR))
    case.step("ADD", [i, one], [more])
    case.step("ADD", [i, case.constant(np.int32(next_start))], [following])
    scaled, item = open_tensor(case, [-1, 2]), open_tensor(case, [1, -1, 2])
    case.step("MUL", [x, factor], [scaled])
    parts = []
    for number, rest in ((i, -1), (following, 0)):
        shaped, vector = case.add([1], "int32"), case.add([3], "int32")
        case.step("RESHAPE", [number, case.constant([1])], [shaped], NewShape=[1])
        case.step("CONCATENATION", [shaped, case.constant([rest, rest])], [vector], Axis=0)
        part = open_tensor(case, [-1, -1, -1])
        known = case.constant([0, 0, 0] if rest else [-1, -1, -1])
        case.step("SLICE", [items, known, vector] if rest else [items, vector, known], [part])
        parts.append(part)
    case.step("EXPAND_DIMS", [scaled, case.constant(np.int32(0))], [item])
    joined = open_tensor(case, [-1, -1, 2])
    case.step("CONCATENATION", [parts[0], item, parts[1]], [joined], Axis=0)
    case.inputs, case.outputs = [i, items, x], [more, joined, scaled]
    return merged([case])


def filled(step: Model) -> Model:
    """x -> FACTOR * x, FACTOR**2 * x and so on; the file leaves open how many rows x has."""
    case = Case("list", "list")
    x = open_tensor(case, [-1, 2])
    zeros = case.add([STEPS, 1, 2], "float32", data=np.zeros([STEPS, 1, 2], np.float32))
    count, last = case.add([], "int32"), open_tensor(case, [-1, 2])
    items = open_tensor(case, [-1, -1, 2])
    graphs = [condition([-1, -1, 2], [-1, 2]), step]
    options = {"CondSubgraphIndex": 1, "BodySubgraphIndex": 2}
    inputs = [case.constant(np.int32(0)), zeros, x]
    case.flow("WHILE", inputs, [count, items, last], graphs, options)
    case.inputs, case.outputs = [x], [items]
    return merged([case])


def expected(x: Array) -> Array:
    return np.stack([x * FACTOR ** (step + 1) for step in range(STEPS)])


def test_items_that_the_file_leaves_open_are_put_into_their_list(tmp_path):
    model = filled(body())
    (tmp_path / "m.tflite").write_bytes(model.to_bytes())
    native = NativeModel(compile_to_files(tmp_path / "m.tflite"), tmp_path)
    x = np.array([[3.0, -5.0]], np.float32)
    [found] = native(x)
    np.testing.assert_array_equal(found, expected(x))
    pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")
    [[litert]] = run_litert(model.to_bytes(), [[x]])
    np.testing.assert_array_equal(found, litert)


def test_what_makes_a_list_longer_is_refused(tmp_path):
    """Where the item that was there stays behind the new one."""
    (tmp_path / "m.tflite").write_bytes(filled(body(next_start=0)).to_bytes())
    with pytest.raises(ModelError, match=r"SLICE.*computed at run time"):
        compile_to_files(tmp_path / "m.tflite")


# Lists of TensorFlow's own operators.


def variant(case: Case) -> int:
    """A tensor that is such a list; its index."""
    return case.add([], "variant")


def flex(
    case: Case, operator: str, inputs: Sequence[int], output: int, options: bytes = b""
) -> None:
    """Add an operator on lists."""
    name = f"CUSTOM FlexTensorList{operator}"
    case.operators.append(Operator(name, inputs, [output], custom_options=options))


def flex_body(options: bytes = b"", is_set: bool = True) -> Model:
    """As `body`, of such a list."""
    case = Case("step", "step")
    i, items, x = case.add([], "int32"), variant(case), open_tensor(case, [-1, 2])
    more, scaled, changed = case.add([], "int32"), open_tensor(case, [-1, 2]), variant(case)
    factor = case.add([], "float32", data=np.float32(FACTOR))
    case.step("ADD", [i, case.constant(np.int32(1))], [more])
    case.step("MUL", [x, factor], [scaled])
    if is_set:
        flex(case, "SetItem", [items, i, scaled], changed, options)
    else:
        flex(case, "FromTensor", [items], changed)
    case.inputs, case.outputs = [i, items, x], [more, changed, scaled]
    return merged([case])


def flex_filled(step: Model, count: int = STEPS) -> Model:
    """As `filled`, of a list of so many items."""
    case = Case("list", "list")
    x = open_tensor(case, [-1, 2])
    empty, full, last = variant(case), variant(case), open_tensor(case, [-1, 2])
    steps, stacked = case.add([], "int32"), open_tensor(case, [count, -1, 2])
    extents = case.constant([-1, 2])
    flex(case, "Reserve", [extents, case.constant(np.int32(count))], empty)
    holds = condition([-1, 2])
    holds.tensors.insert(1, Tensor("items", [], "VARIANT"))
    holds.operators = [replace(holds.operators[0], inputs=[0, 3], outputs=[4])]
    holds.inputs, holds.outputs = [0, 1, 2], [4]
    options = {"CondSubgraphIndex": 1, "BodySubgraphIndex": 2}
    inputs = [case.constant(np.int32(0)), empty, x]
    case.flow("WHILE", inputs, [steps, full, last], [holds, step], options)
    flex(case, "Stack", [full, extents], stacked)
    case.inputs, case.outputs = [x], [stacked]
    return merged([case])


def test_a_list_of_tensorflow_s_operators_is_a_tensor(tmp_path):
    (tmp_path / "m.tflite").write_bytes(flex_filled(flex_body(), STEPS + 1).to_bytes())
    options = CompileOptions(input_shapes={"list0": (2, 2)})
    native = NativeModel(compile_to_files(tmp_path / "m.tflite", options), tmp_path)
    x = np.array([[3.0, -5.0], [1.0, 2.0]], np.float32)
    [found] = native(x)
    np.testing.assert_array_equal(found, [*expected(x), np.zeros_like(x)])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (flex_body(b"\nresize_if_index_out_of_bounds\x12\x02\x28\x01"), "makes its list longer"),
        (flex_body(is_set=False), "a list into which nothing was put"),
    ],
    ids=["longer", "empty"],
)
def test_what_is_not_known_of_a_list_is_refused_in_words(step, message, tmp_path):
    (tmp_path / "m.tflite").write_bytes(flex_filled(step).to_bytes())
    with pytest.raises(ModelError, match=message):
        compile_to_files(tmp_path / "m.tflite")
