"""Many models, boards and executors, on all processors."""

import numpy as np
import pytest

MODELS = {
    "sine": "../models/sine_float32.tflite",
    "keyword": "../models/keyword_int8.tflite",
}


def model(name):
    marks = [pytest.mark.microtvm_model(MODELS[name]), pytest.mark.xdist_group(name)]
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [model("sine"), model("keyword")])
def test_device_computes_what_the_host_computes(microtvm, name):
    microtvm.check()


@pytest.mark.parametrize("name", [model("sine")])
@pytest.mark.parametrize("x", [0.0, 1.0, 2.0, 3.0])
def test_sine(microtvm, name, x):
    (y,) = microtvm.run(np.array([[x]], np.float32)).values()
    assert y.item() == pytest.approx(np.sin(x), abs=0.1)
