"""Which recognizers are asked for which Relax operator; the first that finds something is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from pytest_microtvm.compiler.quantized import tables
from pytest_microtvm.compiler.quantized.recognise import attention, images, simple
from pytest_microtvm.compiler.quantized.recognise.matches import IntegerRecognizer, Recognizer
from pytest_microtvm.compiler.quantized.recognise.weighted import match_weighted

QUANTIZED: Mapping[str, Sequence[Recognizer]] = {
    **dict.fromkeys(simple.MOVEMENTS, (simple.match_movement,)),
    "add": (match_weighted, simple.match_arithmetic),
    "concat": (simple.match_concatenation,),
    "dequantize": (simple.match_requantize,),
    "image.resize2d": (images.match_bilinear,),
    "matmul": (match_weighted, attention.match_product),
    "mean": (simple.match_mean,),
    "multiply": (simple.match_arithmetic,),
    "nn.avg_pool2d": (images.match_float_pool,),
    "nn.conv2d": (match_weighted,),
    "nn.conv2d_transpose": (match_weighted,),
    "nn.layer_norm": (attention.match_layer_normalization,),
    "nn.leakyrelu": (simple.match_leaky_relu,),
    "nn.max_pool2d": (images.match_float_pool,),
    "nn.softmax": (attention.match_softmax, simple.match_softmax),
    "reshape": (match_weighted, simple.match_movement),
    "sigmoid": (partial(simple.match_unary, "logistic", tables.sigmoid),),
    "subtract": (simple.match_arithmetic,),
    "tanh": (partial(simple.match_unary, "tanh", tables.tanh),),
}
"""Operators whose float result is quantized."""

INTEGER: Mapping[str, IntegerRecognizer] = {
    "astype": images.match_widened_pool,
    "image.resize2d": images.match_nearest,
    "nn.max_pool2d": images.match_integer_pool,
}
"""Operators that take and give integers."""
