import io
import os
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.mlf.library import TensorSpec
from pytest_microtvm.verify import inputs
from pytest_microtvm.verify.inputs import (
    NamedTensors,
    check_inputs,
    load_inputs,
    load_outputs,
    make_inputs,
)
from pytest_microtvm.verify.sequences import check_sequence


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


def test_indices_are_inside_of_the_axis_that_they_number():
    limited = replace(spec(shape=(1000,), dtype="int32"), index_limit=3)
    values = make_inputs("m", [limited])["x"]
    assert (values.min(), values.max()) == (0, 2)


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


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1e300, "float32"),
        (-3.5e38, "float32"),
        (10**39, "float32"),
        (300, "int8"),
        (-1, "uint8"),
        (1 << 31, "int32"),
        (np.uint64(2**64 - 1), "int64"),
        (1 << 70, "int64"),
        (2, "bool"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(value, dtype):
    with pytest.raises(ConfigError, match="dtype"):
        check_inputs([value], [spec(shape=(1,), dtype=dtype)])


def test_the_value_that_does_not_fit_is_named():
    values = np.zeros((2, 3))
    values[1, 2] = 1e300
    message = (
        r"'x' has dtype float64 and holds 1e\+300 at \[1, 2\], which the model's float32 cannot"
    )
    with pytest.raises(ConfigError, match=message):
        check_inputs(values, [spec(dtype="float32")])


def test_infinities_and_nans_of_the_user_are_kept():
    values = np.array([[np.inf, -np.inf, np.nan], [0, 0, 0]])
    fitted = check_inputs(values, [spec(dtype="float32")])["x"]
    assert np.array_equal(fitted, values, equal_nan=True)


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(ConfigError, match="'x' is no array"):
        check_inputs({"x": [[1, 2], [3]]}, [spec()])
    with pytest.raises(ConfigError, match="'x' is no array"):
        check_sequence({"x": [[[1, 2], [3]]]}, [spec()])
    with pytest.raises(ConfigError, match="inputs: 'x' is no array"):
        check_sequence([[1, 2], [3]], [spec()])


def test_unknown_and_missing_names_are_told():
    with pytest.raises(ConfigError, match=r"unknown tensor 'z'.*'x' is missing"):
        check_inputs({"z": np.zeros((2, 3), "int8")}, [spec()])
    with pytest.raises(ConfigError, match="unknown tensor '0', unknown tensor 'z'"):
        check_inputs({"x": np.zeros((2, 3), "int8"), 0: 1, "z": 1}, [spec()])  # type: ignore[dict-item]
    many = {f"{number}{'x' * 1000}": np.zeros(1) for number in range(1000)}
    with pytest.raises(ConfigError, match="995 more unknown ones, 'x' is missing") as caught:
        check_inputs(many, [spec()])
    assert len(str(caught.value)) < 800


def test_inputs_come_from_a_file(tmp_path):
    np.savez(tmp_path / "in.npz", x=np.full((2, 3), 5, "int8"))
    assert (load_inputs(tmp_path / "in.npz", [spec()])["x"] == 5).all()


def saved(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def member(content, method=zipfile.ZIP_STORED):
    """A file of one member x.npy."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("x.npy", content)
    return stream.getvalue()


def alone(header, data=b"\0" * 6):
    """An array whose header is any text."""
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def patched(data, at, value):
    return data[:at] + value + data[at + len(value) :]


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


HEADER = "{'descr': '|i1', 'fortran_order': False, 'shape': SHAPE, }"
DEFLATED = member(bytes(1000) + b"x", zipfile.ZIP_DEFLATED)
CENTRAL = DEFLATED.index(b"PK\x01\x02")
DAMAGED = {
    "empty": b"",
    "text": b"not an archive",
    "cut short": b"PK\x03\x04 cut short",
    "an array, no archive": npy(np.zeros((2, 3), "int8")),
    "encrypted": patched(DEFLATED, CENTRAL + 8, b"\1"),
    "unknown method": patched(patched(DEFLATED, 8, b"\x63"), CENTRAL + 10, b"\x63"),
    "bad deflate": patched(DEFLATED, 35, b"\xff" * 4),
    "huge header": member(alone(HEADER.replace("SHAPE", "(1 << 60, 9)"))),
    "huge shape": member(alone(HEADER.replace("SHAPE", f"({1 << 60},)"))),
    "nested header": member(alone("(" * 110)),
    "no header": member(alone("{'descr': ")),
    "objects": member(alone(HEADER.replace("|i1", "|O"))),
    "no array": member(b"text"),
    "half": saved(x=np.zeros((2, 3), "int8"))[:150],
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_one_line(tmp_path, name):
    path = tmp_path / "in.npz"
    path.write_bytes(DAMAGED[name])
    for load in (load_inputs, load_outputs):
        with pytest.raises(ConfigError, match=r"in\.npz") as caught:
            load(path, [spec()])
        assert len(str(caught.value).splitlines()) == 1
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("names", [("x.npy", "x.npy"), ("x", "x.npy")])
def test_two_arrays_of_one_name_are_refused(tmp_path, names):
    path = tmp_path / "in.npz"
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")
        for name in names:
            archive.writestr(name, npy(np.zeros((2, 3), "int8")))
    with pytest.raises(ConfigError, match="two arrays of one name"):
        load_inputs(path, [spec()])


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "in.npz")
    for path in (tmp_path / "in.npz", tmp_path, tmp_path / "missing.npz"):
        with pytest.raises(ConfigError, match="cannot read arrays from"):
            load_inputs(path, [spec()])


@pytest.mark.parametrize("raised", [MemoryError(), RecursionError(), KeyError("x"), SyntaxError()])
def test_whatever_numpy_raises_is_one_line(tmp_path, monkeypatch, raised):
    def fail(*_, **__):
        raise raised

    (tmp_path / "in.npz").write_bytes(saved(x=np.zeros((2, 3), "int8")))
    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(ConfigError, match="cannot read arrays"):
        load_inputs(tmp_path / "in.npz", [spec()])


def test_a_file_that_unpacks_to_much_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "MAX_FILE_BYTES", 1000)
    np.savez_compressed(tmp_path / "in.npz", x=np.zeros(2000, "int8"))
    with pytest.raises(ConfigError, match="more than 1000"):
        load_inputs(tmp_path / "in.npz", [spec()])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((3, 2), "int8")}, "'x' has shape"),
        ({"x": np.zeros((2, 3), "int64")}, "'x' has dtype int64, the model gives int8"),
        ({"x": np.zeros((2, 3), "float32")}, "'x' has dtype float32"),
        ({"y": np.zeros((2, 3), "int8")}, "unknown tensor 'y', 'x' is missing"),
        ({}, "'x' is missing"),
        ({"x": np.zeros((2, 3), "int8"), "z": np.zeros(1)}, "unknown tensor 'z'"),
    ],
)
def test_outputs_of_a_file_have_to_be_the_models_own(tmp_path, arrays, message):
    np.savez(tmp_path / "out.npz", **arrays)
    with pytest.raises(ConfigError, match=message):
        load_outputs(tmp_path / "out.npz", [spec()])


def test_outputs_come_from_a_file(tmp_path):
    np.savez(tmp_path / "out.npz", x=np.full((2, 3), 5, "int8"))
    assert (load_outputs(tmp_path / "out.npz", [spec()])["x"] == 5).all()


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
