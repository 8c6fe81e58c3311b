"""All channels of a network in one numbering, and which of them can only go together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.dead.network import Network
from pytest_microtvm.compiler.quantized.dead.relations import Aligned, Indices, Relation

Flags = npt.NDArray[np.bool_]


class Channels:
    """The channels of all tensors, one after the other.

    Args:
        network: The layers.
        relations: Of each layer.
    """

    def __init__(self, network: Network, relations: Sequence[Relation]) -> None:
        counts = [shape[-1] if shape else 0 for shape in network.shapes]
        ends = self._ends = np.cumsum(counts, dtype=np.intp)
        self._slices = [
            slice(int(end) - count, int(end)) for end, count in zip(ends, counts, strict=True)
        ]
        self.count = int(ends[-1]) if counts else 0
        self.labels: Indices = self._labels(network, relations)
        """By channel, the least number of those that it can only go together with."""

    def of(self, tensor: int) -> slice:
        """The channels of a tensor."""
        return self._slices[tensor]

    def tensor(self, channel: int) -> int:
        """The tensor that a channel is of."""
        return int(np.searchsorted(self._ends, channel, side="right"))

    def in_classes(self, flags: Flags) -> Flags:
        """By channel, whether some channel of its class is flagged."""
        some = np.zeros(self.count, np.bool_)
        some[self.labels[flags]] = True
        return some[self.labels]

    def whole(self, flags: Flags) -> list[int]:
        """The tensors all of whose channels are flagged."""
        return [
            tensor
            for tensor, channels in enumerate(self._slices)
            if channels.stop > channels.start and flags[channels].all()
        ]

    def _labels(self, network: Network, relations: Sequence[Relation]) -> Indices:
        left: list[Indices] = []
        right: list[Indices] = []
        for layer, known in zip(network.layers, relations, strict=True):
            if isinstance(known, Aligned):
                for tensor, targets in zip(layer.inputs, known.maps, strict=True):
                    if targets is not None:
                        sources = np.arange(self.count)[self.of(tensor)]
                        left.append(np.repeat(sources, targets.shape[1]))
                        right.append(targets.ravel() + self.of(layer.output).start)
        labels = np.arange(self.count)
        if not left:
            return labels
        ends = np.concatenate(left), np.concatenate(right)
        while True:
            least = np.minimum(labels[ends[0]], labels[ends[1]])
            before = labels.copy()
            for end in ends:
                np.minimum.at(labels, end, least)
            labels = labels[labels]
            if np.array_equal(before, labels):
                return labels
