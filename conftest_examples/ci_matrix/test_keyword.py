"""The tests that every job runs, on the board that the job is for."""

import pytest

pytestmark = pytest.mark.microtvm_model("../models/keyword_int8.tflite")


def test_device_computes_what_the_host_computes(microtvm):
    microtvm.check()


@pytest.mark.microtvm_board(requires_ram=256 * 1024)
def test_on_large_boards_only(microtvm):
    assert microtvm.metrics.ram_bytes <= 256 * 1024
