"""Real numbers in and out of models that compute in integers."""

import numpy as np
import pytest

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.mlf.specs import TensorSpec
from pytest_microtvm.verify.quantization import quantized, real_numbers

INT8 = TensorSpec("x", (4,), "int8", 4, scale=0.5, zero_point=10)
UINT8 = TensorSpec("y", (4,), "uint8", 4, scale=0.25, zero_point=128)
FLOAT = TensorSpec("z", (4,), "float32", 16)
PLAIN = TensorSpec("n", (4,), "int32", 16)


def test_the_nearest_integer_stands_for_a_number():
    found = quantized([0.0, 0.24, 0.25, -0.25], [INT8])
    assert found["x"].dtype == np.int8
    assert found["x"].tolist() == [10, 10, 11, 9]  # of two the one further from 0


def test_what_is_outside_is_clipped():
    assert quantized([1e9, -1e9, np.inf, -np.inf], [INT8])["x"].tolist() == [127, -128, 127, -128]
    assert quantized([1e9, -1e9, 0.0, 1.0], [UINT8])["y"].tolist() == [255, 0, 128, 132]


def test_outputs_come_back_as_real_numbers():
    integers = np.arange(-128, 128, dtype=np.int8)
    spec = TensorSpec("x", (256,), "int8", 256, scale=0.1, zero_point=-3)
    real = real_numbers({"x": integers}, [spec])["x"]
    assert real.dtype == np.float32
    assert real[128] == np.float32(0.3)
    assert quantized(real, [spec])["x"].tolist() == integers.tolist()


def test_tensors_without_a_scale_are_as_they_are():
    found = quantized({"z": [1, 2, 3, 4], "n": [1, 2, 3, 4]}, [FLOAT, PLAIN])
    assert found["z"].dtype == np.float32
    assert real_numbers({"n": found["n"]}, [PLAIN])["n"] is found["n"]
    with pytest.raises(ConfigError, match="'n' takes int32 and has no scale"):
        quantized({"n": [0.5, 1, 2, 3]}, [PLAIN])


def test_nan_is_no_integer():
    with pytest.raises(ConfigError, match="holds NaN"):
        quantized([0.0, np.nan, 0.0, 0.0], [INT8])
