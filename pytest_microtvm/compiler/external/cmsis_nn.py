"""CMSIS-NN's functions for convolutions and fully connected layers of int8.

Its sources are the user's: a folder or a pack of a version whose functions have the signatures of
version 4 to 7. What the kernels call goes into the archive, and what that calls in turn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.program import align_up
from pytest_microtvm.compiler.quantized.external import ExternalKernels
from pytest_microtvm.compiler.quantized.kernels.common import is_common
from pytest_microtvm.compiler.quantized.specs import (
    Conv2D,
    Convolution,
    DepthwiseConv2D,
    FullyConnected,
    KernelSource,
    Requantization,
    Role,
    Rounding,
    Window,
)
from pytest_microtvm.compiler.source_tree import SourceTree
from pytest_microtvm.errors import ConfigError

HEADER = "arm_nnfunctions.h"
_CALLED = re.compile(r"\b(arm_\w+)\s*\(")
_DEFINED = re.compile(r"^[\w\s*]+?\b(arm_\w+)\s*\([^;{}()]*\)\s*\{", re.MULTILINE)
_MVE_BLOCK = 124
_ROLES = (
    Role("weights", "as CMSIS-NN takes them: one output channel after the other"),
    Role("bias", "one for each output channel"),
    Role("multipliers", "one for each output channel"),
    Role("shifts", "one for each output channel; positive is to the left"),
)


def collect(tree: SourceTree, text: str) -> Mapping[str, bytes]:
    """What of the library the kernels call, directly or not.

    Args:
        tree: The user's sources.
        text: The C of the kernels.

    Raises:
        ConfigError: It is not CMSIS-NN, or lacks a function.
    """
    header = tree.named(HEADER)
    if header is None:
        raise ConfigError(
            f"{tree.path} has no {HEADER}", cure="name the folder of CMSIS-NN's sources, or a pack"
        )
    include = str(PurePosixPath(header).parent)
    defined = {
        name: path
        for path in sorted(tree.files, reverse=True)
        if path.endswith(".c")
        for name in _DEFINED.findall(tree.text(path))
    }
    pending = set(_CALLED.findall(text))
    for name in pending - set(defined):
        raise ConfigError(
            f"{tree.path} has no function {name}", cure="use CMSIS-NN of version 4 to 7"
        )
    sources: set[str] = set()
    while pending:
        path = defined.get(pending.pop())  # what is inline is in a header
        if path is not None and path not in sources:
            sources.add(path)
            pending |= set(_CALLED.findall(tree.text(path)))
    headers = tree.with_included([header, *sources], [include]) - sources
    files = {f"src/{PurePosixPath(path).name}": tree.files[path] for path in sources}
    for name in headers:
        given = PurePosixPath(name)  # some are beside the sources
        is_public = given.is_relative_to(include)
        place = given.relative_to(include).as_posix() if is_public else given.name
        files[f"include/{place}"] = tree.files[name]
    return files


def convolution(spec: Conv2D) -> KernelSource | None:
    """The kernel of a convolution; None where CMSIS-NN rounds in another way, or has none."""
    if not _is_for_cmsis(spec):
        return None
    outputs, height, width, inputs = spec.weights.shape
    taps = height * width * inputs
    size_bytes = align_up(max(4 * align_up(taps, 4), 4 * align_up(taps, 16)))
    lines = [
        *_context(size_bytes),
        *_window("cmsis_nn_conv_params", spec.input_zero_point, spec.requantization, spec.window),
        *_dims("input_dims", spec.input_shape),
        *_dims("filter_dims", (outputs, height, width, inputs)),
        *_dims("bias_dims", (1, 1, 1, outputs)),
        *_dims("output_dims", spec.output_shape),
        *_scaling(),
        "(void)arm_convolve_wrapper_s8(&context, &params, &scaling, &input_dims, input0,",
        "    &filter_dims, constant0, &bias_dims, constant1, &output_dims, output);",
    ]
    macs = int(np.prod(spec.output_shape)) * taps
    return _kernel(lines, spec.weights, spec.bias, spec.requantization, size_bytes, macs)


def depthwise(spec: DepthwiseConv2D) -> KernelSource | None:
    """The kernel of a convolution of each channel alone; None as above."""
    if not _is_for_cmsis(spec):
        return None
    height, width, outputs = spec.weights.shape
    inputs = spec.input_shape[3]
    taps = height * width
    size_bytes = align_up(max(2 * inputs * taps, 4 * _MVE_BLOCK * taps, 5 * outputs * taps))
    lines = [
        *_context(size_bytes),
        *_window(
            "cmsis_nn_dw_conv_params", spec.input_zero_point, spec.requantization, spec.window
        ),
        f"params.ch_mult = {outputs // inputs};",
        *_dims("input_dims", spec.input_shape),
        *_dims("filter_dims", (1, height, width, outputs)),
        *_dims("bias_dims", (1, 1, 1, outputs)),
        *_dims("output_dims", spec.output_shape),
        *_scaling(),
        "(void)arm_depthwise_conv_wrapper_s8(&context, &params, &scaling, &input_dims, input0,",
        "    &filter_dims, constant0, &bias_dims, constant1, &output_dims, output);",
    ]
    macs = int(np.prod(spec.output_shape)) * taps
    return _kernel(lines, spec.weights, spec.bias, spec.requantization, size_bytes, macs)


def fully_connected(spec: FullyConnected) -> KernelSource | None:
    """The kernel of a fully connected layer with one scale; None as above.

    Its function wants sums of the weights on a CPU with vectors, which are made in each run.
    """
    requantization = spec.requantization
    if not _is_for_cmsis(spec) or requantization.multipliers.size != 1:
        return None
    outputs, inputs = spec.weights.shape
    size_bytes = align_up(4 * outputs)
    lines = [
        *_context(size_bytes),
        "cmsis_nn_fc_params params;",
        f"params.input_offset = {-spec.input_zero_point};",
        "params.filter_offset = 0;",
        *_clamped(requantization),
        "cmsis_nn_per_tensor_quant_params scaling;",
        f"scaling.multiplier = {int(requantization.multipliers[0])};",
        f"scaling.shift = {int(requantization.shifts[0])};",
        *_dims("input_dims", (spec.rows, 1, 1, inputs)),
        *_dims("filter_dims", (inputs, 1, 1, outputs)),
        *_dims("bias_dims", (1, 1, 1, outputs)),
        *_dims("output_dims", (spec.rows, 1, 1, outputs)),
        "#if defined(ARM_MATH_MVEI)",
        f"(void)arm_vector_sum_s8((int32_t *)(void *)workspace, {inputs}, {outputs}, constant0,",
        f"    {-spec.input_zero_point}, 0, constant1);",
        "#endif",
        "(void)arm_fully_connected_s8(&context, &params, &scaling, &input_dims, input0,",
        "    &filter_dims, constant0, &bias_dims, constant1, &output_dims, output);",
    ]
    macs = spec.rows * outputs * inputs
    return _kernel(lines, spec.weights, spec.bias, requantization, size_bytes, macs, scales=False)


def _is_for_cmsis(spec: Convolution | FullyConnected) -> bool:
    return is_common(spec) and spec.requantization.rounding is Rounding.DOUBLE


def _kernel(
    lines: Sequence[str],
    weights: npt.NDArray[np.int8],
    bias: npt.NDArray[np.int64] | npt.NDArray[np.int32] | None,
    requantization: Requantization,
    workspace_bytes: int,
    macs: int,
    scales: bool = True,
) -> KernelSource | None:
    outputs = weights.shape[-1] if weights.ndim == 3 else weights.shape[0]
    summed = np.zeros(outputs, np.int64) if bias is None else np.asarray(bias, np.int64)
    if np.abs(summed).max(initial=0) > np.iinfo(np.int32).max:
        return None
    constants: list[npt.NDArray[Any]] = [
        np.ascontiguousarray(weights),
        summed.astype(np.int32),
    ]
    if scales:
        for array in (requantization.multipliers, requantization.shifts):
            constants.append(np.ascontiguousarray(np.broadcast_to(array, (outputs,)), np.int32))
    return KernelSource(
        ("int8",),
        tuple(constants),
        "int8",
        "".join(f"  {line}\n" for line in lines),
        workspace_bytes=workspace_bytes,
        macs=macs,
        roles=_ROLES[: len(constants)],
    )


def _context(size_bytes: int) -> list[str]:
    return [
        "cmsis_nn_context context;",
        "context.buf = workspace;",
        f"context.size = {size_bytes};",
    ]


def _window(
    kind: str, zero_point: int, requantization: Requantization, window: Window
) -> list[str]:
    return [
        f"{kind} params;",
        f"params.input_offset = {-zero_point};",
        *(
            f"params.{name}.{axis} = {pair[index]};"
            for name, pair in (
                ("stride", window.strides),
                ("padding", window.padding),
                ("dilation", window.dilation),
            )
            for index, axis in enumerate("hw")
        ),
        *_clamped(requantization),
    ]


def _clamped(requantization: Requantization) -> list[str]:
    return [
        f"params.output_offset = {requantization.zero_point};",
        f"params.activation.min = {requantization.minimum};",
        f"params.activation.max = {requantization.maximum};",
    ]


def _scaling() -> list[str]:
    return [
        "cmsis_nn_per_channel_quant_params scaling;",
        "scaling.multiplier = (int32_t *)(uintptr_t)constant2;",
        "scaling.shift = (int32_t *)(uintptr_t)constant3;",
    ]


def _dims(name: str, shape: Sequence[int]) -> list[str]:
    return [
        f"cmsis_nn_dims {name};",
        *(f"{name}.{axis} = {extent};" for axis, extent in zip("nhwc", shape, strict=True)),
    ]


KERNELS = ExternalKernels(
    kernels={
        Conv2D: convolution,
        DepthwiseConv2D: depthwise,
        FullyConnected: fully_connected,
    },
    headers=(HEADER,),
    sources="the sources of CMSIS-NN",
    collect=collect,
)
