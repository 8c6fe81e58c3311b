"""Operators of ONNX that are made of others, or that TVM's importer has wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from tests.unit.compiler.onnx.comparing import agree, compiled, floats, made, node


@pytest.mark.parametrize("operator", ["Max", "Min", "Sum", "Mean"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_operators_of_any_number_of_tensors_broadcast_any_ranks(
    operator: str, count: int, tmp_path: Path
):
    shapes = [(2, 3, 4), (3, 1), ()][:count]
    inputs: dict[str, tuple[str, Any]] = {f"x{i}": ("FLOAT", s) for i, s in enumerate(shapes)}
    model = made([node(operator, " ".join(inputs))], inputs)
    agree(model, tmp_path, [floats(*shape, seed=i) for i, shape in enumerate(shapes)])


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("Celu", {"alpha": 0.7}),
        ("LpNormalization", {"axis": 0}),
        ("IsInf", {"detect_negative": 0}),
    ],
)
def test_operators_of_one_tensor(operator: str, attributes: dict[str, Any], tmp_path: Path):
    model = made([node(operator, "x", **attributes)], {"x": ("FLOAT", [3, 4])})
    source = floats(3, 4)
    source[:2, 0] = (0.0, np.inf) if operator == "IsInf" else (0.0, 1.0)
    agree(model, tmp_path, [source])


def test_a_norm_is_of_absolute_values(tmp_path: Path):
    source = floats(3, 4)
    source[0] = 0.0
    norms = np.abs(source).sum(axis=1, keepdims=True)
    expected = source / np.where(norms == 0, np.float32(1), norms)
    model = made([node("LpNormalization", "x", axis=1, p=1)], {"x": ("FLOAT", [3, 4])})
    agree(model, tmp_path, [source], expected=[expected])


def test_one_hot_has_the_type_of_its_values(tmp_path: Path):
    constants = {"depth": np.int64(4), "values": np.array([-1, 5], np.int32)}
    model = made([node("OneHot", "x depth values", axis=1)], {"x": ("INT64", [3])}, "y", constants)
    agree(model, tmp_path, [np.array([0, -1, 7])])


def test_an_upsample_of_an_old_model_is_a_resize(tmp_path: Path):
    constants = {"scales": np.array([1, 1, 2, 2], np.float32)}
    inputs: dict[str, tuple[str, Any]] = {"x": ("FLOAT", [1, 2, 3, 3])}
    model = made([node("Upsample", "x scales")], inputs, "y", constants, opset=9)
    source = floats(1, 2, 3, 3)
    agree(model, tmp_path, [source], expected=[source.repeat(2, axis=2).repeat(2, axis=3)])


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_with_initial_states(kind: str, direction: str, tmp_path: Path):
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    directions, hidden = (2 if direction == "bidirectional" else 1), 3
    constants: dict[str, Any] = {
        "w": floats(directions, gates * hidden, 2, seed=1),
        "r": floats(directions, gates * hidden, hidden, seed=2),
        "b": floats(directions, 2 * gates * hidden, seed=3),
    }
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    if kind == "GRU":
        attributes["linear_before_reset"] = 1
    inputs: dict[str, tuple[str, Any]] = {
        "x": ("FLOAT", [5, 2, 2]),
        "h": ("FLOAT", [directions, 2, hidden]),
    }
    arrays = [floats(5, 2, 2), floats(directions, 2, hidden, seed=4)]
    names, outputs = "x w r b _ h", "y y_h"
    if kind == "LSTM":
        inputs["c"] = inputs["h"]
        arrays.append(floats(directions, 2, hidden, seed=5))
        names, outputs = f"{names} c", "y y_h y_c"
    model = made([node(kind, names, outputs, **attributes)], inputs, outputs, constants)
    # The reference implementation has no direction but forward: one run each way.
    expected = both_ways(kind, constants, arrays, direction, hidden)
    agree(model, tmp_path, arrays, expected=expected)


def both_ways(
    kind: str, constants: dict[str, Any], arrays: list[Any], direction: str, hidden: int
) -> list[Any]:
    """The results of each direction, computed step by step."""
    ways = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
    sequences, states, cells = [], [], []
    for number, backward in enumerate(ways):
        weights, recurrent, bias = (constants[name][number] for name in "wrb")
        source = arrays[0][::-1] if backward else arrays[0]
        state = arrays[1][number]
        cell = arrays[2][number] if kind == "LSTM" else np.zeros_like(state)
        steps = []
        for row in source:
            state, cell = STEPS[kind](row @ weights.T, state, cell, recurrent, bias, hidden)
            steps.append(state)
        sequences.append(np.stack(steps[::-1] if backward else steps))
        states.append(state)
        cells.append(cell)
    results = [np.stack(sequences, 1), np.stack(states), np.stack(cells)]
    return results if kind == "LSTM" else results[:2]


def sigmoid(value: Any) -> Any:
    return 1 / (1 + np.exp(-value))


def lstm(given: Any, state: Any, cell: Any, recurrent: Any, bias: Any, hidden: int) -> Any:
    total = given + state @ recurrent.T + bias[: 4 * hidden] + bias[4 * hidden :]
    entry, output, forget, candidate = np.split(total, 4, axis=1)
    cell = sigmoid(forget) * cell + sigmoid(entry) * np.tanh(candidate)
    return sigmoid(output) * np.tanh(cell), cell


def gru(given: Any, state: Any, cell: Any, recurrent: Any, bias: Any, hidden: int) -> Any:
    first, second = bias[: 3 * hidden], bias[3 * hidden :]
    update, reset, new = np.split(given + first, 3, axis=1)
    by_state = np.split(state @ recurrent.T + second, 3, axis=1)
    update, reset = sigmoid(update + by_state[0]), sigmoid(reset + by_state[1])
    new = np.tanh(new + reset * by_state[2])
    return (1 - update) * new + update * state, cell


def rnn(given: Any, state: Any, cell: Any, recurrent: Any, bias: Any, hidden: int) -> Any:
    return np.tanh(given + state @ recurrent.T + bias[:hidden] + bias[hidden:]), cell


STEPS: dict[str, Any] = {"LSTM": lstm, "GRU": gru, "RNN": rnn}


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_greatest_elements_of_an_axis(axis: int, largest: int, tmp_path: Path):
    attributes = {"axis": axis, "largest": largest, "sorted": 1}
    model = made(
        [node("TopK", "x k", "y places", **attributes)],
        {"x": ("FLOAT", [4, 5])},
        "y places",
        {"k": np.array([3])},
    )
    source = np.round(floats(4, 5) * 2) / 2  # some are equal
    order = np.argsort(-source if largest else source, axis=axis, kind="stable")
    places = np.take(order, range(3), axis=axis).astype(np.int64)
    agree(model, tmp_path, [source], expected=[np.take_along_axis(source, places, axis), places])


def test_normalizations(tmp_path: Path):
    nodes = [
        node("BatchNormalization", "x scale bias mean variance", "a"),
        node("MeanVarianceNormalization", "a", "b", axes=[0, 2]),
        node("LayerNormalization", "b wide", "y m d", axis=1),
    ]
    constants: dict[str, Any] = {
        n: floats(3, seed=i) for i, n in enumerate(("scale", "bias", "mean"))
    }
    constants |= {"variance": np.abs(floats(3)) + 1, "wide": floats(3, 4)}
    model = made(nodes, {"x": ("FLOAT", [2, 3, 4])}, "y m d", constants)
    agree(model, tmp_path, [floats(2, 3, 4)], tolerance=1e-4)


@pytest.mark.parametrize(
    ("mode", "attributes"),
    [
        ("nearest", {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "ceil"}),
        ("linear", {"antialias": 1}),
        ("cubic", {"coordinate_transformation_mode": "align_corners"}),
    ],
)
def test_resizes_of_any_axes(mode: str, attributes: dict[str, Any], tmp_path: Path):
    model = made(
        [node("Resize", "x _ _ sizes", mode=mode, axes=[1], **attributes)],
        {"x": ("FLOAT", [2, 7, 3])},
        constants={"sizes": np.array([4])},
    )
    agree(model, tmp_path, [floats(2, 7, 3)], tolerance=1e-4)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_padding_that_is_left_to_be_found(mode: str, tmp_path: Path):
    window = {"strides": [2, 3], "auto_pad": mode}
    nodes = [
        node("MaxPool", "x", "greatest", kernel_shape=[3, 2], **window),
        node("AveragePool", "x", "mean", kernel_shape=[4, 3], **window),
        node("Conv", "x w", "sum", **window),
        node("Conv", "x narrow", "signal", **window),
    ]
    constants = {"w": floats(3, 2, 4, 2, seed=1), "narrow": floats(1, 2, 1, 5, seed=2)}
    names = "greatest mean sum signal"
    model = made(nodes, {"x": ("FLOAT", [1, 2, 7, 8])}, names, constants)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    source = floats(1, 2, 7, 8)
    agree(model, tmp_path, [source], expected=session.run(None, {"x": source}))


def test_transposed_convolutions_to_a_shape(tmp_path: Path):
    nodes = [
        node("ConvTranspose", "x w", "given", strides=[2, 2], output_shape=[6, 8]),
        node("ConvTranspose", "x w", "same", strides=[2, 2], auto_pad="SAME_UPPER"),
        node("ConvTranspose", "x w", "more", strides=[2, 2], output_shape=[8, 10]),
    ]
    model = made(
        nodes, {"x": ("FLOAT", [1, 2, 3, 4])}, "given same more", {"w": floats(2, 3, 3, 3, seed=1)}
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    source = floats(1, 2, 3, 4)
    agree(model, tmp_path, [source], expected=session.run(None, {"x": source}))


def test_arguments_that_old_models_have_as_attributes(tmp_path: Path):
    nodes = [
        node("Slice", "x", "part", starts=[1, -3], ends=[99, -1], axes=[0, 2]),
        node("TopK", "x", "best places", k=2, axis=1),
        node("Split", "x", "first rest", axis=1, split=[1, 2]),
    ]
    model = made(nodes, {"x": ("FLOAT", [3, 3, 5])}, "part best places first", opset=9)
    model.ir_version = 4
    agree(model, tmp_path, [floats(3, 3, 5)])


def test_inputs_that_are_indices_are_told_with_their_limit(tmp_path: Path):
    nodes = [node("Gather", "x places", "y", axis=1), node("Add", "places places", "z")]
    inputs: dict[str, Any] = {"x": ("FLOAT", [2, 3]), "places": ("INT64", [4])}
    source, places = floats(2, 3), np.array([2, 0, -1, 1])
    native = agree(made(nodes, inputs, "y z"), tmp_path, [source, places])
    assert [spec.index_limit for spec in native.library.inputs] == [None, 3]
    assert [spec.index_limit for spec in native.library.outputs] == [None, None]


def test_padding_from_the_other_end(tmp_path: Path):
    nodes = [
        node("Pad", "x all", "all_axes", mode="wrap"),
        node("Pad", "x some _ axes", "some_axes", mode="wrap"),
    ]
    constants = {
        "all": np.array([0, 2, 5, 0, 1, 4]),
        "some": np.array([3, -1]),
        "axes": np.array([-1]),
    }
    model = made(nodes, {"x": ("FLOAT", [2, 3, 4])}, "all_axes some_axes", constants)
    source = floats(2, 3, 4)
    expected = [
        np.pad(source, [(0, 0), (2, 1), (5, 4)], mode="wrap"),
        np.pad(source, [(0, 0), (0, 0), (3, 0)], mode="wrap")[..., :-1],
    ]
    agree(model, tmp_path, [source], expected=expected)


def test_fourier_transforms(tmp_path: Path):
    nodes = [
        node("DFT", "real", "spectrum", onesided=1),
        node("DFT", "spectrum", "back", inverse=1, onesided=1),
        node("DFT", "spectrum long first", "padded"),
        node("STFT", "signal step window", "frames"),
    ]
    constants = {
        "long": np.array(9),
        "first": np.array(0),
        "step": np.array(5),
        "window": np.hanning(8).astype(np.float32),
    }
    sources = {"real": ("FLOAT", [2, 7, 1]), "signal": ("FLOAT", [1, 30, 1])}
    model = made(nodes, sources, "spectrum back padded frames", constants)
    real, signal = floats(2, 7, 1), floats(1, 30, 1)
    spectrum = np.fft.rfft(real[..., 0], axis=1)
    framed = np.stack([signal[:, at : at + 8, 0] for at in range(0, 23, 5)], axis=1)
    results = [
        spectrum,
        np.fft.irfft(spectrum, n=6, axis=1)[..., None],
        np.fft.fft(spectrum, n=9, axis=0),
        np.fft.rfft(framed * constants["window"]),
    ]
    expected = [
        (np.stack([r.real, r.imag], -1) if np.iscomplexobj(r) else r).astype(np.float32)
        for r in results
    ]
    agree(model, tmp_path, [real, signal], expected=expected)


@pytest.mark.parametrize(
    ("dtype", "shape", "attributes"),
    [
        ("FLOAT", [1, 2, 7], {"kernel_shape": [3], "strides": [2], "ceil_mode": 1}),
        ("FLOAT", [2, 2, 5, 6], {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]}),
        ("INT8", [1, 2, 5, 6], {"kernel_shape": [2, 2], "dilations": [2, 3], "storage_order": 1}),
        ("FLOAT", [1, 2, 4, 5, 6], {"kernel_shape": [2, 2, 2], "auto_pad": "SAME_UPPER"}),
    ],
)
def test_a_pool_tells_where_its_results_are(
    dtype: str, shape: list[int], attributes: dict[str, Any], tmp_path: Path
):
    model = made(
        [node("MaxPool", "x", "y places", **attributes)], {"x": (dtype, shape)}, "y places"
    )
    source = (floats(*shape) * 20).astype(np.int8 if dtype == "INT8" else np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    agree(model, tmp_path, [source], expected=session.run(None, {"x": source}))


def test_the_place_of_equal_elements_is_never_outside(tmp_path: Path):
    attributes: dict[str, Any] = {"kernel_shape": [2, 2], "dilations": [2, 3], "pads": [1, 1, 1, 1]}
    shape = [1, 1, 5, 6]
    model = made(
        [node("MaxPool", "x", "y places", **attributes)], {"x": ("INT8", shape)}, "y places"
    )
    source = np.full(shape, -128, np.int8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    _, found = compiled(model, tmp_path)(source)
    read = source.reshape(-1)[found]
    assert read.tolist() == session.run(None, {"x": source})[0].tolist()
    # Row and column of each place are those of a tap: of the window's first rows and columns.
    rows, columns = np.divmod(found[0, 0], 6)
    starts = np.meshgrid(np.arange(5) - 1, np.arange(5) - 1, indexing="ij")
    assert np.isin(rows - starts[0], [0, 2]).all()
    assert np.isin(columns - starts[1], [0, 3]).all()


def test_a_region_and_scales_of_nothing_are_left_out(tmp_path: Path):
    constants = {"none": np.zeros(0, np.float32), "sizes": np.array([1, 2, 6, 9])}
    attributes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    nodes = [node("Resize", "x none none sizes", **attributes)]
    model = made(nodes, {"x": ("FLOAT", [1, 2, 4, 3])}, "y", constants, opset=12)
    source = floats(1, 2, 4, 3)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    agree(model, tmp_path, [source], expected=session.run(None, {"x": source}))


def test_an_attribute_that_is_an_empty_list_says_nothing(tmp_path: Path):
    model = made([node("ReduceMin", "x", axes=[0], keepdims=0)], {"x": ("FLOAT", [3, 4])}, opset=13)
    del model.graph.node[0].attribute[0].ints[:]
    source = floats(3, 4)
    agree(model, tmp_path, [source], expected=[source.min()])


def test_columns_are_added_to_images(tmp_path: Path):
    constants = {"image": np.array([5, 6]), "block": np.array([3, 3])}
    attributes: dict[str, Any] = {"pads": [1, 1, 1, 1], "strides": [2, 1], "dilations": [1, 2]}
    model = made(
        [node("Col2Im", "x image block", **attributes)],
        {"x": ("FLOAT", [2, 18, 12])},
        "y",
        constants,
    )
    agree(model, tmp_path, [floats(2, 18, 12)])


@pytest.mark.parametrize("axes", [{}, {"time_axis": 1, "batch_axis": 0}])
def test_the_first_steps_of_sequences_are_turned_around(axes: dict[str, Any], tmp_path: Path):
    shape = [3, 5, 2] if axes else [5, 3, 2]
    model = made(
        [node("ReverseSequence", "x n", **axes)], {"x": ("FLOAT", shape), "n": ("INT64", [3])}
    )
    agree(model, tmp_path, [floats(*shape), np.array([5, 1, 3])])


def test_corners_are_aligned_with_those_of_whole_elements(tmp_path: Path):
    constants = {"scales": np.array([1, 1, 0.7, 1.5], np.float32)}
    attributes = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    nodes = [node("Resize", "x _ scales", **attributes)]
    model = made(nodes, {"x": ("FLOAT", [1, 2, 9, 5])}, "y", constants, opset=18)
    source = floats(1, 2, 9, 5)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    agree(model, tmp_path, [source], expected=session.run(None, {"x": source}))


def test_powers_of_integers(tmp_path: Path):
    model = made([node("Pow", "x n")], {"x": ("INT64", [4]), "n": ("INT64", [4])})
    agree(model, tmp_path, [np.array([-7, 7, 3, -300]), np.array([3, 0, 2, 5])])


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_sequences_are_no_longer_than_their_tensor(direction: str, tmp_path: Path):
    """Whatever lengths the model is given: those beyond its steps are all of them."""
    arrays = {"w": floats(1, 12, 2), "r": floats(1, 12, 3)}
    inputs: dict[str, tuple[str, Any]] = {"x": ("FLOAT", [4, 2, 2]), "lengths": ("INT32", [2])}
    layer = node("LSTM", "x w r _ lengths", "y", hidden_size=3, direction=direction)
    native = compiled(made([layer], inputs, constants=arrays), tmp_path)
    x = floats(4, 2, 2)
    given, expected = (native(x, np.array(lengths, np.int32))[0] for lengths in ([100, -7], [4, 0]))
    np.testing.assert_array_equal(given, expected)
