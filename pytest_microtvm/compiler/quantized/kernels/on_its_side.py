"""Turns depthwise convolutions of one column into such of one row."""

from __future__ import annotations

from dataclasses import replace

from pytest_microtvm.compiler.quantized.specs import DepthwiseConv2D, Window


def lying(spec: DepthwiseConv2D) -> DepthwiseConv2D:
    """The same, on its side when all is one column wide: the same memory, and longer rows."""
    n, height, width, channels = spec.input_shape
    out_height, out_width, out_channels = spec.output_shape[1:]
    window = spec.window
    if not width == out_width == window.shape[1] == 1 or window.padding[1]:
        return spec
    return replace(
        spec,
        input_shape=(n, 1, height, channels),
        output_shape=(n, 1, out_height, out_channels),
        window=Window(
            window.shape[::-1], window.strides[::-1], window.dilation[::-1], window.padding[::-1]
        ),
        weights=spec.weights.reshape(1, window.shape[0], out_channels),
    )
