"""Convolutions, products, pools and normalizations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.torch.call import Call, constant, shape_of
from pytest_microtvm.compiler.frontends.torch.registry import operator

_CONVOLUTIONS = {2: relax.op.nn.conv2d, 3: relax.op.nn.conv3d}
_TRANSPOSED = {2: relax.op.nn.conv2d_transpose, 3: relax.op.nn.conv3d_transpose}


@operator("convolution")
def convolution(
    call: Call,
    input: Any,  # noqa: A002
    weight: Any,
    bias: Any,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Any:
    """A convolution over one to three axes, or a transposed one; over one, as over two."""
    dims = len(shape_of(input)) - 2
    value, kernel, shape = input, weight, call.shape
    windows = [_each(given, dims) for given in (stride, padding, dilation, output_padding)]
    if dims == 1:
        value, kernel = (_widened(call, tensor) for tensor in (value, kernel))
        windows = [[neutral, *given] for neutral, given in zip((1, 0, 1, 0), windows, strict=True)]
        shape = (*shape[:2], 1, *shape[2:])
    strides, edges, spread, extra = windows
    if transposed:
        made = _TRANSPOSED[max(2, dims)](value, kernel, strides, edges * 2, extra, spread, groups)
    else:
        made = _CONVOLUTIONS[max(2, dims)](value, kernel, strides, edges * 2, spread, groups)
    made = call.emit(made)
    if bias is not None:
        wide = call.reshaped(bias, [1, *shape_of(bias), *[1] * (len(shape) - 2)])
        made = call.emit(relax.op.add(made, wide))
    return call.reshaped(made, call.shape)


def _each(given: Sequence[int], dims: int) -> list[int]:
    return list(given) if len(given) == dims else list(given) * dims


def _widened(call: Call, tensor: Any) -> Any:
    shape = shape_of(tensor)
    return call.reshaped(tensor, [*shape[:2], 1, *shape[2:]])


@operator("linear")
def linear(call: Call, input: Any, weight: Any, bias: Any = None) -> Any:  # noqa: A002
    """A product with the rows of a matrix, and a bias."""
    if len(shape_of(weight)) == 1:
        made = call.emit(relax.op.matmul(input, weight))
    else:
        made = call.emit(relax.op.matmul(input, call.permuted(weight, [1, 0])))
    return made if bias is None else relax.op.add(made, bias)


@operator("mm", "bmm", "matmul", "mv", "dot", "vdot")
def matmul(
    call: Call, x: Any, mat2: Any = None, other: Any = None, vec: Any = None, tensor: Any = None
) -> Any:
    """A product of matrices, or of stacks of them."""
    right = next(each for each in (mat2, other, vec, tensor) if each is not None)
    return relax.op.matmul(x, right)


@operator("addmm", "addmv", "baddbmm", "addbmm")
def addmm(call: Call, x: Any, beta: Any = 1, alpha: Any = 1, **matrices: Any) -> Any:
    """A product of matrices added to a tensor, each scaled."""
    left, right = matrices.values()
    made = call.emit(relax.op.matmul(left, right))
    if call.name.endswith("addbmm") and not call.name.endswith("baddbmm"):
        made = call.emit(relax.op.sum(made, [0]))
    if alpha != 1:
        made = call.emit(relax.op.multiply(made, call.cast(alpha)))
    if not beta:
        return made
    other = x if beta == 1 else call.emit(relax.op.multiply(x, call.cast(beta)))
    return relax.op.add(made, other)


@operator("_trilinear")
def trilinear(
    call: Call,
    i1: Any,
    i2: Any,
    i3: Any,
    expand1: Sequence[int],
    expand2: Sequence[int],
    expand3: Sequence[int],
    sumdim: Sequence[int],
    unroll_dim: int = 1,
) -> Any:
    """Sums of products of three tensors, to each of which axes are added."""
    wide = [
        call.emit(relax.op.expand_dims(tensor, list(axes))) if axes else tensor
        for tensor, axes in ((i1, expand1), (i2, expand2), (i3, expand3))
    ]
    product = call.emit(relax.op.multiply(call.emit(relax.op.multiply(*wide[:2])), wide[2]))
    return relax.op.sum(product, list(sumdim)) if sumdim else product


def _maxima(count: int) -> Any:
    return {1: relax.op.nn.max_pool1d, 2: relax.op.nn.max_pool2d, 3: relax.op.nn.max_pool3d}[count]


def _averages(count: int) -> Any:
    return {1: relax.op.nn.avg_pool1d, 2: relax.op.nn.avg_pool2d, 3: relax.op.nn.avg_pool3d}[count]


def _batched(call: Call, x: Any, dims: int) -> Any:
    """A tensor with a batch, of one that may have none."""
    shape = shape_of(x)
    return x if len(shape) == dims + 2 else call.reshaped(x, [1, *shape])


def _excess(
    shape: Sequence[int],
    made: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> list[int]:
    """What is added behind each axis so that windows end there: more than `padding` by ceilings."""
    return [
        max(0, (count - 1) * step + (width - 1) * spread + 1 - extent - before)
        for extent, count, width, step, before, spread in zip(
            shape, made, kernel, stride, padding, dilation, strict=True
        )
    ]


@operator("max_pool2d_with_indices", "max_pool3d_with_indices", "max_pool2d", "max_pool3d")
def max_pool(
    call: Call,
    x: Any,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Any:
    """The greatest element of each window, and its place in the plane where that is used."""
    dims = 3 if "3d" in call.name else 2
    kernel = _each(kernel_size, dims)
    steps = _each(stride, dims) if stride else kernel
    edges, spread = _each(padding, dims), _each(dilation, dims)
    source = _batched(call, x, dims)
    shape, made = shape_of(source)[2:], call.shape[-dims:]
    behind = _excess(shape, made, kernel, steps, edges, spread)
    pool = _maxima(dims)(source, kernel, steps, [*edges, *behind], spread)
    values = call.reshaped(call.emit(pool), call.shape)
    if len(call.outputs) == 1:
        return values
    return [values, _places(call, source, kernel, steps, edges, behind, spread)]


def _places(
    call: Call,
    x: Any,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    behind: Sequence[int],
    dilation: Sequence[int],
) -> Any:
    """Where the greatest element of each window is in its plane; the first of several.

    Windows are laid out by their known places; what is outside of the tensor is the least number.
    """
    dims = len(kernel)
    shape = shape_of(x)
    extents, made = shape[2:], call.shape[-dims:]
    numbers = np.zeros((1,) * dims + (1,) * dims, np.int64)
    is_inside = np.ones_like(numbers, bool)
    for axis in range(dims):
        starts = np.arange(made[axis]) * stride[axis] - padding[axis]
        at = starts[:, None] + np.arange(kernel[axis]) * dilation[axis]
        form = [1] * (2 * dims)
        form[axis], form[dims + axis] = at.shape
        is_inside = is_inside & ((at >= 0) & (at < extents[axis])).reshape(form)
        numbers = numbers * extents[axis] + at.clip(0, extents[axis] - 1).reshape(form)
    rows = numbers.reshape(math.prod(made), -1)
    inside = is_inside.reshape(rows.shape)
    flat = call.reshaped(x, [*shape[:2], math.prod(extents)])
    windows = call.emit(relax.op.take(flat, constant(rows.astype(np.int32)), 2, "clip"))
    if not inside.all():
        least = call.cast(-math.inf if call.dtype.startswith("float") else -(1 << 31))
        windows = call.emit(relax.op.where(constant(inside), windows, least))
    best = call.cast(call.emit(relax.op.argmax(windows, 3)), "int64")
    wide = call.emit(relax.op.expand_dims(best, 3))
    table = call.spread(constant(rows), [*shape[:2], *rows.shape])
    found = call.emit(relax.op.gather_elements(table, wide, 3))
    return call.reshaped(found, call.outputs[1][0])


@operator("avg_pool1d", "avg_pool2d", "avg_pool3d")
def avg_pool(
    call: Call,
    x: Any,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window: of its elements inside of the tensor, or inside of the padding."""
    dims = int(call.name[-2])
    kernel = _each(kernel_size, dims)
    steps = _each(stride, dims) if stride else kernel
    edges = _each(padding, dims)
    source = _batched(call, x, dims)
    extents, made = shape_of(source)[2:], call.shape[-dims:]
    behind = _excess(extents, made, kernel, steps, edges, [1] * dims)
    pads = [*edges, *behind]
    counts = _counts(extents, made, kernel, steps, edges, count_include_pad)
    whole = float(math.prod(kernel))
    divisors = np.full_like(counts, divisor_override) if divisor_override else counts
    if not any(pads) and not divisor_override:
        pool = _averages(dims)(source, kernel, steps)
        return call.reshaped(call.emit(pool), call.shape)
    inside = _counts(extents, made, kernel, steps, edges, False)
    if (divisors == inside).all():
        pool = _averages(dims)(source, kernel, steps, pads, count_include_pad=False)
        return call.reshaped(call.emit(pool), call.shape)
    pool = call.emit(_averages(dims)(source, kernel, steps, pads, count_include_pad=True))
    if (divisors != whole).any():
        factors = constant((whole / divisors).astype(call.dtype))
        pool = call.emit(relax.op.multiply(pool, factors))
    return call.reshaped(pool, call.shape)


def _counts(
    extents: Sequence[int],
    made: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    with_pad: bool,
) -> Any:
    """How many elements each window has."""
    total = np.ones((), np.float64)
    for extent, count, width, step, edge in zip(
        extents, made, kernel, stride, padding, strict=True
    ):
        starts = np.arange(count) * step - edge
        ends = np.minimum(starts + width, extent + edge if with_pad else extent)
        if not with_pad:
            starts = np.maximum(starts, 0)
        total = total[..., None] * (ends - starts)
    return total


@operator("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool1d")
def adaptive_avg_pool(call: Call, x: Any, output_size: Sequence[int]) -> Any:
    """Means of parts that are as even as can be."""
    dims = len(output_size)
    source, made = _batched(call, x, dims), call.shape[-dims:]
    extents = shape_of(source)[2:]
    if all(count == 1 for count in made):
        pool = relax.op.mean(source, list(range(2, 2 + dims)), keepdims=True)
    elif all(extent % count == 0 for extent, count in zip(extents, made, strict=True)):
        kernel = [extent // count for extent, count in zip(extents, made, strict=True)]
        pool = _averages(dims)(source, kernel, kernel)
    else:
        pool = _parts(call, source, made, relax.op.mean)
    return call.reshaped(call.emit(pool), call.shape)


def _parts(call: Call, x: Any, made: Sequence[int], reduce: Any) -> Any:
    """A reduction of parts of each axis, one axis after the other."""
    for axis, count in enumerate(made, 2):
        extent = shape_of(x)[axis]
        rows = []
        for i in range(count):
            start, end = i * extent // count, -(-(i + 1) * extent // count)
            part = call.part(x, axis, start, end)
            rows.append(call.emit(reduce(part, [axis], keepdims=True)))
        x = call.emit(relax.op.concat(rows, axis)) if count > 1 else rows[0]
    return x


@operator("adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_max_pool(call: Call, x: Any, output_size: Sequence[int]) -> Any:
    """The greatest elements of parts that are as even as can be."""
    dims = len(output_size)
    source, made = _batched(call, x, dims), call.shape[-dims:]
    extents = shape_of(source)[2:]
    if all(extent % count == 0 for extent, count in zip(extents, made, strict=True)):
        kernel = [extent // count for extent, count in zip(extents, made, strict=True)]
        found = call.emit(_maxima(dims)(source, kernel, kernel))
    else:
        found = _parts(call, source, made, relax.op.max)
    return [call.reshaped(found, call.shape), None]


def _affine(call: Call, weight: Any, bias: Any, shape: Sequence[int]) -> tuple[Any, Any]:
    """What normalized elements are multiplied by, and what is added; 1 and 0 if not given."""
    return (
        weight if weight is not None else constant(np.ones(shape, call.dtype)),
        bias if bias is not None else constant(np.zeros(shape, call.dtype)),
    )


@operator("_native_batch_norm_legit_no_training")
def batch_norm(
    call: Call,
    input: Any,  # noqa: A002
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    momentum: float,
    eps: float,
) -> Any:
    """A normalization by known means and variances."""
    channels = shape_of(running_mean)
    gamma, beta = _affine(call, weight, bias, channels)
    made = call.emit(
        relax.op.nn.batch_norm(
            input, gamma, beta, running_mean, running_var, 1, eps, training=False
        )
    )
    return [relax.TupleGetItem(made, 0), None, None]


@operator("native_layer_norm")
def layer_norm(
    call: Call,
    input: Any,  # noqa: A002
    normalized_shape: Sequence[int],
    weight: Any,
    bias: Any,
    eps: float,
) -> Any:
    """A normalization over the last axes."""
    shape = tuple(normalized_shape)
    gamma, beta = _affine(call, weight, bias, shape)
    axes = [i - len(shape) for i in range(len(shape))]
    return [relax.op.nn.layer_norm(input, gamma, beta, axes, eps), None, None]


@operator("native_group_norm")
def group_norm(
    call: Call,
    input: Any,  # noqa: A002
    weight: Any,
    bias: Any,
    N: int,  # noqa: N803
    C: int,  # noqa: N803
    HxW: int,  # noqa: N803
    group: int,
    eps: float,
) -> Any:
    """A normalization over groups of channels."""
    rows = call.reshaped(input, [N, group, C // group * HxW])
    mean = call.emit(relax.op.mean(rows, [2], keepdims=True))
    distance = call.emit(relax.op.subtract(rows, mean))
    square = call.emit(relax.op.multiply(distance, distance))
    variance = call.emit(relax.op.mean(square, [2], keepdims=True))
    spread = call.emit(relax.op.sqrt(call.emit(relax.op.add(variance, call.cast(eps)))))
    made = call.reshaped(call.emit(relax.op.divide(distance, spread)), call.shape)
    form = [1, C, *[1] * (len(call.shape) - 2)]
    if weight is not None:
        made = call.emit(relax.op.multiply(made, call.reshaped(weight, form)))
    if bias is not None:
        made = call.emit(relax.op.add(made, call.reshaped(bias, form)))
    return [made, None, None]
