"""The table of operators in the docs, held to what the compiler does."""

from __future__ import annotations

from tests.operators import coverage

MOST_REFUSED = 1

REGISTERED = """
    ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND
    BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM
    DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL
    EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER
    GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG
    LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM
    MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX
    REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT
    SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE
    SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV
    UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE
"""
"""The builtin operators that TensorFlow Lite Micro's resolver registers (August 2026)."""


def test_each_operator_that_tensorflow_lite_micro_registers_is_in_the_table():
    in_words = {"CALL_ONCE"}  # it has no input, and so no row for its type
    assert {*coverage.BUILDERS, *in_words} == set(REGISTERED.split())
    assert all(name in coverage.PAGE.read_text(encoding="utf-8") for name in in_words)


def test_the_page_tells_what_becomes_of_each_operator():
    expected = coverage.page()
    assert coverage.PAGE.read_text(encoding="utf-8") == expected, "scripts/bench coverage --write"
    refused = [line for line in expected.splitlines() if "refused" in line and line[0] == "|"]
    assert len(refused) <= MOST_REFUSED
