"""Channels that are equal to others of their tensor, whose work these can do as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.arithmetic import LIMITS
from pytest_microtvm.compiler.quantized.dead.classes import Channels, Flags
from pytest_microtvm.compiler.quantized.dead.known import Images
from pytest_microtvm.compiler.quantized.dead.network import Network
from pytest_microtvm.compiler.quantized.dead.relations import (
    Aligned,
    Indices,
    Mixing,
    Relation,
)
from pytest_microtvm.compiler.quantized.dead.weighted import Integers, bias_of, weighted
from pytest_microtvm.compiler.quantized.specs import DepthwiseConv2D, Requantization, Spec


def equal_channels(
    network: Network, relations: Sequence[Relation], known: Sequence[Images]
) -> list[Indices]:
    """By tensor, the first channel that each channel is equal to, whatever the model's inputs are.

    Args:
        network: The layers.
        relations: Of each layer.
        known: What is known of each tensor.
    """
    equal = [np.arange(shape[-1] if shape else 0) for shape in network.shapes]
    for layer, found in zip(network.layers, relations, strict=True):
        if found is None:
            continue
        given = [equal[tensor] for tensor in layer.inputs]
        if isinstance(found, Mixing):
            keys = _mixed(layer.spec, given[0])
        else:
            keys = _aligned(layer.spec, found, given, len(equal[layer.output]))
        images = known[layer.output]
        first: dict[Any, int] = {}
        for channel, key in enumerate(keys):
            image = images.get(channel)
            own = key if image is None else ("known", image.tobytes())
            equal[layer.output][channel] = first.setdefault(own, channel)
    return equal


def _mixed(spec: Any, given: Indices) -> list[Any]:
    """What each output channel is computed by."""
    layer = weighted(spec)
    merged = np.zeros_like(layer.weights)
    np.add.at(np.moveaxis(merged, -1, 0), given, np.moveaxis(layer.weights, -1, 0))
    factors = _factors(spec.requantization, len(merged))
    return [
        (rows.tobytes(), int(bias), *factor)
        for rows, bias, factor in zip(merged, layer.bias, factors, strict=True)
    ]


def _factors(requantization: Requantization, channels: int) -> list[tuple[Any, ...]]:
    arrays: list[npt.NDArray[Any]] = [requantization.multipliers, requantization.shifts]
    if requantization.reals is not None:
        arrays.append(requantization.reals)
    spread = [np.broadcast_to(array, channels).tolist() for array in arrays]
    return list(zip(*spread, strict=True))


def _aligned(
    spec: Spec, found: Aligned, given: Sequence[Indices], channels: int
) -> list[tuple[Any, ...]]:
    """What each output channel is computed by and of."""
    keys = _parameters(spec, channels)
    for position, (firsts, targets) in enumerate(zip(given, found.maps, strict=True)):
        if targets is None:
            continue
        for first, outputs in zip(firsts.tolist(), targets.tolist(), strict=True):
            for place, output in enumerate(outputs):
                keys[output] += (position, place, first)
    return keys


def _parameters(spec: Any, channels: int) -> list[tuple[Any, ...]]:
    """What a layer that does not mix channels has of its own for each output channel."""
    if isinstance(spec, DepthwiseConv2D):
        factors = _factors(spec.requantization, channels)
        bias = bias_of(spec.bias, channels).tolist()
        return [
            (spec.weights[..., channel].tobytes(), bias[channel], *factors[channel])
            for channel in range(channels)
        ]
    keys: list[tuple[Any, ...]] = [() for _ in range(channels)]
    for operand in getattr(spec, "operands", ()):
        if operand.values is None or not operand.shape or operand.shape[-1] != channels:
            continue
        values = operand.values.reshape(-1, channels)
        keys = [(*key, values[:, channel].tobytes()) for channel, key in enumerate(keys)]
    return keys


class Merger:
    """Lets channels do the work of others that are equal to them.

    Args:
        network: The layers.
        channels: Their numbering.
        equal: By tensor, the first channel that each channel is equal to.
        unneeded: By the number of each layer with weights, which input channels it does not need.
    """

    def __init__(
        self,
        network: Network,
        channels: Channels,
        equal: Sequence[Indices],
        unneeded: Mapping[int, Flags],
    ) -> None:
        self._network = network
        self._channels = channels
        self._equal = equal
        self._unneeded = unneeded
        self._weights: dict[int, Integers] = {}
        self._busy = np.zeros(channels.count, np.bool_)
        """Channels that do the work of others."""
        self.gone: Flags = np.zeros(channels.count, np.bool_)
        """Channels whose work others do."""

    def merge(self, members: Indices) -> None:
        """Let others do the work of a class, if they can.

        Args:
            members: All channels of the class, none of which is bound to stay.
        """
        work = self._work(members)
        if not work:
            return  # what nothing needs, and stays, is the last channel of its tensor
        changed = {number: self._of(number).copy() for number, *_ in work}
        for number, tensor, channel in work:
            weights, target = changed[number], self._equal[tensor][channel]
            weights[..., target] += weights[..., channel]
            least, most = _limits(self._network.layers[number].spec)
            if weights[..., target].min() < least or weights[..., target].max() > most:
                return
        self._weights |= changed
        self.gone[members] = True
        for _, tensor, channel in work:
            self._busy[self._channels.of(tensor).start + self._equal[tensor][channel]] = True

    def network(self) -> Network:
        """The network in which the others do the work; those whose work it was are still there."""
        layers = list(self._network.layers)
        for number, weights in self._weights.items():
            spec: Any = layers[number].spec
            values = (weights + spec.weights_zero_point).astype(spec.weights.dtype)
            changed = replace(spec, weights=values.reshape(spec.weights.shape))
            layers[number] = replace(layers[number], spec=changed)
        return replace(self._network, layers=tuple(layers))

    def _work(self, members: Indices) -> list[tuple[int, int, int]]:
        """What others have to do: layer, tensor and channel; nothing where there is no other."""
        work: list[tuple[int, int, int]] = []
        if self._busy[members].any():
            return work
        for member in members:
            tensor = self._channels.tensor(int(member))
            start = self._channels.of(tensor).start
            channel = int(member) - start
            for number, _ in self._network.readers[tensor]:
                if number not in self._unneeded or self._unneeded[number][channel]:
                    continue
                target = start + self._equal[tensor][channel]
                if self.gone[target] or target in members:
                    return []
                work.append((number, tensor, channel))
        return work

    def _of(self, number: int) -> Integers:
        """The weights of a layer as they are by now, less their zero point."""
        spec: Any = self._network.layers[number].spec
        known = self._weights.get(number)
        return weighted(spec).weights if known is None else known


def _limits(spec: Any) -> tuple[int, int]:
    """Least and greatest weight of a layer, less the zero point; kernels want -127 for int8."""
    least, most = LIMITS[str(spec.weights.dtype)]
    if spec.weights_zero_point == 0 and least < 0:
        least = -most
    return least - spec.weights_zero_point, most - spec.weights_zero_point
