"""Kernels in plain C for every CPU."""

from __future__ import annotations

from pytest_microtvm.compiler.quantized.choices import Choose, Tuned
from pytest_microtvm.compiler.quantized.cpu import CpuExtension
from pytest_microtvm.compiler.quantized.even_specs import (
    Interpolated,
    LayerNormalization,
    SoftmaxByTable,
)
from pytest_microtvm.compiler.quantized.kernels.common import (
    dense_convolution,
    is_common,
    undivided,
)
from pytest_microtvm.compiler.quantized.kernels.floats import (
    IN_C,
    PORTABLE_LANES,
    convolutions,
)
from pytest_microtvm.compiler.quantized.kernels.on_its_side import lying
from pytest_microtvm.compiler.quantized.kernels.portable import (
    conv2d,
    depthwise,
    elementwise,
    even,
    fixed_point,
    general,
    movement,
    pairs,
    pooling,
    products,
    recurrent,
    reduction,
    resize,
    softmax,
)
from pytest_microtvm.compiler.quantized.specs import (
    Arithmetic,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    KernelSource,
    Lookup,
    Mean,
    Pool,
    Quantize,
    Requantize,
    Resize,
    Softmax,
    Written,
)
from pytest_microtvm.compiler.quantized.tflite_specs import (
    BatchMatMul,
    Comparison,
    Interpolation,
    L2Normalization,
    LogSoftmax,
    Lstm,
    PowerOfTwoSum,
    Prelu,
    Quotient,
    Sigmoid,
    SoftmaxInt16,
    SquaredDifference,
    SvdfOutput,
    SvdfState,
    TransposedConv2D,
    TwoSlopes,
    UpdateSlice,
)


def _conv2d(spec: Conv2D, choose: Choose) -> KernelSource:
    if not is_common(spec):
        return general.conv2d(spec)
    return conv2d.CONV2D.written(spec, choose, conv2d.conv2d)


def _depthwise(spec: DepthwiseConv2D, choose: Choose) -> KernelSource:
    if not is_common(spec):
        return general.depthwise_conv2d(spec)
    whole = undivided(spec)
    if whole is not None:
        return _conv2d(whole, choose)
    return depthwise.DEPTHWISE.written(lying(spec), choose, depthwise.depthwise_conv2d)


def _fully_connected(spec: FullyConnected, choose: Choose) -> KernelSource:
    if not is_common(spec):
        return general.fully_connected(spec)
    return _conv2d(dense_convolution(spec), choose)


EXTENSION = CpuExtension(
    {
        **IN_C,
        **convolutions(PORTABLE_LANES),
        BatchMatMul: products.batch_mat_mul,
        Interpolated: even.interpolated,
        LayerNormalization: even.layer_normalization,
        SoftmaxByTable: even.softmax,
        Comparison: pairs.comparison,
        Interpolation: fixed_point.interpolation,
        L2Normalization: fixed_point.l2_normalization,
        LogSoftmax: fixed_point.log_softmax,
        Lstm: recurrent.lstm,
        PowerOfTwoSum: pairs.power_of_two_sum,
        Prelu: pairs.prelu,
        Quotient: pairs.quotient,
        Sigmoid: fixed_point.sigmoid,
        SoftmaxInt16: fixed_point.softmax_int16,
        SquaredDifference: pairs.squared_difference,
        SvdfOutput: recurrent.svdf_output,
        SvdfState: recurrent.svdf_state,
        TransposedConv2D: products.transposed_conv2d,
        TwoSlopes: fixed_point.two_slopes,
        UpdateSlice: movement.update_slice,
        Arithmetic: elementwise.arithmetic,
        Concatenation: movement.concatenation,
        Conv2D: Tuned(_conv2d),
        DepthwiseConv2D: Tuned(_depthwise),
        FullyConnected: Tuned(_fully_connected),
        Lookup: elementwise.lookup,
        Mean: reduction.mean,
        Pool: pooling.pool,
        Quantize: elementwise.quantize,
        Requantize: elementwise.requantize,
        Resize: resize.resize,
        Softmax: softmax.softmax,
        Written: lambda spec: spec.source,
    },
    tunables=(conv2d.CONV2D, depthwise.DEPTHWISE),
)
