"""AoT against graph: the same kernels, driven by a call plan in C and by a graph that is walked.

pytest.ini names both executors and takes the graph's outputs as the reference, so that each test
below compares the two on the board itself. Whoever changes an executor, the memory plan or a
toolchain sees here that nothing changed for the models.
"""

import numpy as np
import pytest

MODELS = ["../models/sine_float32.tflite", "../models/keyword_int8.tflite"]


@pytest.mark.parametrize(
    "model", [pytest.param(path, marks=pytest.mark.microtvm_model(path)) for path in MODELS]
)
def test_both_compute_the_same_bytes(microtvm, model):
    microtvm.check(rtol=0, atol=0)


@pytest.mark.microtvm_model("../models/motion_float32.tflite")
def test_the_same_bytes_for_many_inputs(microtvm):
    random = np.random.default_rng(0)
    for _ in range(5):
        inputs = {
            "acceleration": random.standard_normal((1, 32, 3), np.float32),
            "gravity": random.standard_normal((1, 3), np.float32),
        }
        microtvm.check(inputs, rtol=0, atol=0)


@pytest.mark.microtvm_model("../models/keyword_int8.tflite")
def test_the_call_plan_takes_no_more_memory(microtvm, smallest):
    # Whichever executor comes first leaves its figure for the other.
    smallest[microtvm.executor] = microtvm.metrics
    if len(smallest) == 2:
        for metric in ("flash_bytes", "ram_bytes"):
            aot, graph = (getattr(smallest[name], metric).value for name in ("aot", "graph"))
            assert aot <= graph


@pytest.fixture(scope="module")
def smallest():
    return {}
