"""Which channels go, until nothing changes.

Channels that can only go together are a class: those that layers which do not mix channels make of
each other. A class goes where no layer needs the values of its channels. A layer with weights does
not need a channel that has none, nor one that adds the same to its sums at all places: that becomes
a part of the bias. The shapes of some tensors are fixed, and none loses all of its channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_microtvm.compiler.quantized.dead.classes import Channels, Flags
from pytest_microtvm.compiler.quantized.dead.equal import Merger, equal_channels
from pytest_microtvm.compiler.quantized.dead.known import Images, is_one_value, known_channels
from pytest_microtvm.compiler.quantized.dead.network import Layer, Network
from pytest_microtvm.compiler.quantized.dead.relations import (
    Mixing,
    Relation,
    relation,
)
from pytest_microtvm.compiler.quantized.dead.shrunk import Kept, shrunk, smaller, with_bias
from pytest_microtvm.compiler.quantized.dead.weighted import Integers, weighted
from pytest_microtvm.compiler.quantized.specs import Spec

_BIAS_LIMIT = 1 << 31


def without_dead(network: Network, needs_all: Callable[[Spec], bool]) -> Network:
    """The same network without channels that nothing needs; its numbers of tensors stay.

    Args:
        network: The layers.
        needs_all: Whether a layer is to see its tensors as they are.
    """
    while True:
        step = _Step(network, needs_all)
        changed, gone = network, step.unneeded()
        if not gone.any():
            changed, gone = step.merged()
        if not gone.any():
            return network
        network = step.without(changed, gone)


@dataclass(frozen=True)
class _Folded:
    """What a layer with weights can do without.

    Args:
        channels: By input channel, whether it can.
        parts: What each such channel adds to the sums; shape (inputs, outputs).
    """

    channels: Flags
    parts: Integers


class _Step:
    """A network, and what goes of it at once."""

    def __init__(self, network: Network, needs_all: Callable[[Spec], bool]) -> None:
        self._network = network
        self._relations: list[Relation] = [
            None
            if needs_all(layer.spec)
            else relation(layer.spec, network.input_shapes(layer), network.shapes[layer.output])
            for layer in network.layers
        ]
        self._known = known_channels(network, self._relations)
        self._channels = Channels(network, self._relations)
        self._folded: dict[int, _Folded] = {
            number: _folded(layer.spec, self._known[layer.inputs[0]])
            for number, (layer, known) in enumerate(
                zip(network.layers, self._relations, strict=True)
            )
            if isinstance(known, Mixing)
        }

    def unneeded(self) -> Flags:
        """The channels that nothing needs, but for one of a tensor that has no others."""
        channels = self._channels
        needed = self._bound()
        for number, folded in self._folded.items():
            needed[channels.of(self._network.layers[number].inputs[0])] |= ~folded.channels
        needed = channels.in_classes(needed)
        while empty := channels.whole(~needed):
            needed[channels.of(empty[0]).start] = True
            needed = channels.in_classes(needed)
        return ~needed

    def merged(self) -> tuple[Network, Flags]:
        """A network in which equal channels do the work of others, and these others."""
        network, channels = self._network, self._channels
        equal = equal_channels(network, self._relations, self._known)
        unneeded = {number: each.channels for number, each in self._folded.items()}
        merger = Merger(network, channels, equal, unneeded)
        bound = channels.in_classes(self._bound())
        doubles = np.concatenate([e != np.arange(len(e)) for e in equal] or [np.zeros(0, bool)])
        candidates = np.unique(channels.labels[doubles & ~bound])
        for label in candidates:
            merger.merge(np.flatnonzero(channels.labels == label))
        return merger.network(), merger.gone

    def _bound(self) -> Flags:
        """The channels that are needed whatever their values are."""
        network, channels = self._network, self._channels
        bound = np.zeros(channels.count, np.bool_)
        for tensor in network.fixed:
            bound[channels.of(tensor)] = True
        for layer, known in zip(network.layers, self._relations, strict=True):
            if isinstance(known, Mixing):
                continue
            for position, tensor in enumerate(layer.inputs):
                if known is None or known.maps[position] is None:
                    bound[channels.of(tensor)] = True
            if known is None:
                bound[channels.of(layer.output)] = True
        return bound

    def without(self, network: Network, gone: Flags) -> Network:
        """A network without some channels.

        Args:
            network: This one, but perhaps for its weights.
            gone: Whole classes of channels.
        """
        kept = [
            np.flatnonzero(~gone[self._channels.of(tensor)])
            for tensor in range(len(network.shapes))
        ]
        shapes = tuple(
            smaller(shape, channels) for shape, channels in zip(network.shapes, kept, strict=True)
        )
        layers = []
        for number, layer in enumerate(network.layers):
            if not any(gone[self._channels.of(t)].any() for t in (*layer.inputs, layer.output)):
                layers.append(layer)
                continue
            spec: Any = layer.spec
            folded = self._folded.get(number)
            if folded is not None:
                dead = gone[self._channels.of(layer.inputs[0])] & folded.channels
                spec = with_bias(spec, folded.parts[dead].sum(axis=0))
            left = Kept(
                tuple(kept[tensor] for tensor in layer.inputs),
                kept[layer.output],
                tuple(shapes[tensor] for tensor in layer.inputs),
                shapes[layer.output],
            )
            layers.append(Layer(shrunk(spec, left), layer.inputs, layer.output))
        return replace(network, shapes=shapes, layers=tuple(layers))


def _folded(spec: Any, known: Images) -> _Folded:
    """What a layer with weights can do without."""
    layer = weighted(spec)
    outputs, _, _, inputs = layer.weights.shape
    used = np.asarray(layer.used.any(axis=0))
    channels = ~used
    parts = np.zeros((inputs, outputs), np.int64)
    for channel, image in known.items():
        if not used[channel]:
            continue
        centered = image - spec.input_zero_point
        if is_one_value(image) and (layer.is_inside or centered[0] == 0):
            parts[channel] = centered[0] * layer.weights[:, :, :, channel].sum(axis=(1, 2))
            channels[channel] = True
            continue
        sums = layer.sums(centered, channel, np.arange(outputs)).reshape(-1, outputs)
        if (sums == sums[0]).all():
            parts[channel] = sums[0]
            channels[channel] = True
    if int((np.abs(parts).sum(axis=0) + np.abs(layer.bias)).max()) >= _BIAS_LIMIT:
        channels &= ~parts.any(axis=1)
    return _Folded(channels, parts)
