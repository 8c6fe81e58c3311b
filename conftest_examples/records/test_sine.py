import pytest


@pytest.mark.microtvm_model("../models/sine_int8.tflite")
def test_sine(microtvm):
    microtvm.check()
