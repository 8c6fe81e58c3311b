"""What was dead of a network."""

from __future__ import annotations

import math
from typing import Any

from pytest_microtvm.compiler.quantized.dead.network import Network
from pytest_microtvm.compiler.quantized.specs import Convolution, FullyConnected
from pytest_microtvm.mlf.specs import DeadWeights


def counted(whole: Network, living: Network) -> DeadWeights:
    """What the layers of a network have that those without dead channels have not."""
    before, after = _total(whole), _total(living)
    return DeadWeights(before[0] - after[0], before[1] - after[1])


def _total(network: Network) -> tuple[int, int]:
    """Multiplications with accumulation, and bytes of weights and biases."""
    macs = size_bytes = 0
    for layer in network.layers:
        spec: Any = layer.spec
        if isinstance(spec, FullyConnected):
            places = spec.rows
        elif isinstance(spec, Convolution):
            places = math.prod(spec.output_shape[:3])
        else:
            continue
        macs += places * spec.weights.size
        size_bytes += spec.weights.nbytes + (0 if spec.bias is None else spec.bias.nbytes)
    return macs, size_bytes
