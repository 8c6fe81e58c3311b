"""Convolutions and pools: padding that a model leaves to be found, written out."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_microtvm.compiler.frontends.onnx.graph import Builder, Rewrite
from pytest_microtvm.compiler.frontends.onnx.rewrites.quantized import attributes_of


def _padded(builder: Builder) -> bool:
    """A convolution or pool whose padding follows from its strides."""
    mode = builder.attribute("auto_pad", "NOTSET")
    shape = builder.graph.shape(builder.node.input[0])
    kernel = _kernel(builder)
    if mode == "NOTSET" or shape is None or kernel is None:
        return False
    strides, dilations = _pairs(builder, len(kernel))
    totals = [0] * len(kernel)
    if mode != "VALID":
        totals = [
            max(0, (-(-extent // step) - 1) * step + (taps - 1) * dilation + 1 - extent)
            for extent, taps, step, dilation in zip(
                shape[2:], kernel, strides, dilations, strict=True
            )
        ]
    _replace(builder, totals, is_upper=mode != "SAME_LOWER")
    return True


def _transposed(builder: Builder) -> bool:
    """A transposed convolution whose padding follows from the shape of its result."""
    mode = builder.attribute("auto_pad", "NOTSET")
    shape = builder.graph.shape(builder.node.input[0])
    kernel = _kernel(builder)
    wanted = builder.attribute("output_shape")
    if (mode == "NOTSET" and wanted is None) or shape is None or kernel is None:
        return False
    strides, dilations = _pairs(builder, len(kernel))
    more = builder.attribute("output_padding", [0] * len(kernel))
    full = [
        step * (extent - 1) + extra + (taps - 1) * dilation + 1
        for extent, taps, step, dilation, extra in zip(
            shape[2:], kernel, strides, dilations, more, strict=True
        )
    ]
    if wanted is None:
        same = [extent * step for extent, step in zip(shape[2:], strides, strict=True)]
        wanted = full if mode == "VALID" else same
    totals = [whole - extent for whole, extent in zip(full, wanted[-len(full) :], strict=True)]
    # What no input reaches is behind.
    behind = [extra + max(0, -total) for extra, total in zip(more, totals, strict=True)]
    totals = [max(0, total) for total in totals]
    given = {} if behind == more else {"output_padding": behind}
    _replace(builder, totals, is_upper=mode == "SAME_UPPER", **given)
    return True


def _kernel(builder: Builder) -> list[int] | None:
    """The extents of the window."""
    given = builder.attribute("kernel_shape")
    if given is None and len(builder.node.input) > 1:
        weights = builder.graph.shape(builder.node.input[1])
        given = None if weights is None else weights[2:]
    return None if given is None else list(given)


def _pairs(builder: Builder, rank: int) -> tuple[list[int], list[int]]:
    """Strides and dilations."""
    return tuple(list(builder.attribute(name, [1] * rank)) for name in ("strides", "dilations"))  # type: ignore[return-value]


def _replace(
    builder: Builder, totals: Sequence[int], *, is_upper: bool, **given: Sequence[int]
) -> None:
    """The node with its padding; what is odd goes behind (`is_upper`) or in front."""
    less = [total // 2 for total in totals]
    more = [total - half for total, half in zip(totals, less, strict=True)]
    pads = [*less, *more] if is_upper else [*more, *less]
    attributes = {**attributes_of(builder, "auto_pad", "output_shape", "pads"), **given}
    node = builder.node
    builder.emit(node.op_type, list(node.input), list(node.output), pads=pads, **attributes)


def _average(builder: Builder) -> bool:
    return _padded(builder) or _whole_average(builder)


def _whole_average(builder: Builder) -> bool:
    """An average over whole images is a mean, which integer kernels take to any scale."""
    shape = builder.graph.shape(builder.node.input[0])
    result = builder.graph.shape(builder.node.output[0])
    if shape is None or result is None or any(builder.attribute("pads", [])):
        return False
    whole = list(builder.attribute("kernel_shape")) == list(shape[2:])
    dilated = any(step != 1 for step in builder.attribute("dilations", []))
    if not whole or dilated or any(extent != 1 for extent in result[2:]):
        return False
    builder.result(builder.op("GlobalAveragePool", builder.node.input[0]))
    return True


REWRITES: dict[str, Rewrite] = {
    "AveragePool": _average,
    "Conv": _padded,
    "ConvTranspose": _transposed,
    "MaxPool": _padded,
}
