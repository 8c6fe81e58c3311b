"""A board is a TOML file: see boards/small_pc.toml."""

import pytest


@pytest.mark.microtvm_model("../models/keyword_int8.tflite")
def test_keyword(microtvm):
    assert microtvm.board.name == "small_pc"
    microtvm.check()
    assert microtvm.metrics.ram_bytes <= 112 * 1024
