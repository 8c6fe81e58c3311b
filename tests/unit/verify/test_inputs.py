from dataclasses import replace

import numpy as np
import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.mlf.library import TensorSpec
from pytest_microtvm.verify.inputs import NamedTensors, check_inputs, load_inputs, make_inputs


def spec(name="x", shape=(2, 3), dtype="int8"):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return TensorSpec(name=name, shape=shape, dtype=dtype, size_bytes=size)


def test_the_same_model_gets_the_same_inputs():
    first = make_inputs("sine", [spec(), spec("y")])
    second = make_inputs("sine", [spec(), spec("y")])
    assert all((first[name] == second[name]).all() for name in ("x", "y"))


def test_inputs_are_frozen_across_releases():
    # A changed stream would silently change what every user's models are tested with.
    assert make_inputs("sine", [spec(shape=(5,))])["x"].tolist() == [-11, 116, -67, 50, -85]


def test_other_names_give_other_inputs():
    base = make_inputs("sine", [spec(shape=(50,))])["x"]
    assert (base != make_inputs("cosine", [spec(shape=(50,))])["x"]).any()
    assert (base != make_inputs("sine", [spec("y", (50,))])["y"]).any()


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("int8", -128, 127), ("uint8", 0, 255), ("int16", -32768, 32767)],
)
def test_small_integers_use_their_whole_range(dtype, low, high):
    values = make_inputs("m", [spec(shape=(1_000_000,), dtype=dtype)])["x"]
    assert values.dtype == dtype
    assert (values.min(), values.max()) == (low, high)


def test_wide_integers_are_small_enough_for_indices():
    values = make_inputs("m", [spec(shape=(1000,), dtype="int32")])["x"]
    assert (values.min(), values.max()) == (0, 9)


def test_floats_are_standard_normal():
    values = make_inputs("m", [spec(shape=(10_000,), dtype="float32")])["x"]
    assert values.dtype == np.float32
    assert abs(values.mean()) < 0.05
    assert values.std() == pytest.approx(1.0, abs=0.05)


def test_a_bare_array_serves_a_model_with_one_input():
    array = check_inputs(np.zeros((2, 3), "int8"), [spec()])["x"]
    assert array.dtype == np.int8


def test_a_bare_array_is_refused_with_two_inputs():
    with pytest.raises(ConfigError, match="2 inputs"):
        check_inputs(np.zeros((2, 3), "int8"), [spec(), spec("y")])


def test_lists_and_wider_types_are_fitted():
    fitted = check_inputs([[1, 2, 3], [4, 5, -128]], [spec()])["x"]
    assert fitted.dtype == np.int8
    fitted = check_inputs(np.ones((2, 3), "float64"), [spec(dtype="float32")])["x"]
    assert fitted.dtype == np.float32


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((3, 2), "int8"), "shape"),
        (np.full((2, 3), 128), "dtype"),
        (np.zeros((2, 3), "float32"), "dtype"),
        (np.full((2, 3), "a"), "dtype"),
    ],
)
def test_what_does_not_fit_is_refused(value, message):
    with pytest.raises(ConfigError, match=message):
        check_inputs({"x": value}, [spec()])


def test_unknown_and_missing_names_are_told():
    with pytest.raises(ConfigError, match=r"unknown tensor 'z'.*'x' is missing"):
        check_inputs({"z": np.zeros((2, 3), "int8")}, [spec()])


def test_inputs_come_from_a_file(tmp_path):
    np.savez(tmp_path / "in.npz", x=np.full((2, 3), 5, "int8"))
    assert (load_inputs(tmp_path / "in.npz", [spec()])["x"] == 5).all()


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "in.npz"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"in\.npz"):
        load_inputs(path, [spec()])


def test_a_pickle_is_refused(tmp_path):
    np.savez(tmp_path / "in.npz", x=np.array([object()], dtype=object))
    with pytest.raises(ConfigError):
        load_inputs(tmp_path / "in.npz", [spec()])


def signed(name, signature_name):
    return replace(spec(name), signature_name=signature_name)


def test_the_names_of_the_signature_are_names_too():
    specs = [signed("serving_default_x:0", "x"), signed("y", "y")]
    array = np.zeros((2, 3), "int8")
    assert list(check_inputs({"x": array, "y": array}, specs)) == ["serving_default_x:0", "y"]
    outputs = NamedTensors({"serving_default_x:0": array, "y": array + 1}, specs)
    assert outputs["x"] is outputs["serving_default_x:0"]
    assert sorted(outputs) == ["serving_default_x:0", "y"]
    with pytest.raises(KeyError, match="'z'; there are 'serving_default_x:0', 'y', 'x'"):
        outputs["z"]


def test_a_name_of_the_model_beats_one_of_the_signature():
    specs = [signed("a", "b"), signed("b", "a")]
    first, second = np.zeros(1), np.ones(1)
    outputs = NamedTensors({"a": first, "b": second}, specs)
    assert outputs["a"] is first
    assert outputs["b"] is second
