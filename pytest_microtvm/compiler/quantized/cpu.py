"""What a CPU extension is to this compiler: kernels that are written for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_microtvm.compiler.quantized.choices import Tunable
from pytest_microtvm.compiler.quantized.specs import KernelSource

Generator = Callable[[Any], KernelSource | None]
"""Writes the kernel of a spec, or declines it by None: then the next generator is asked."""


@dataclass(frozen=True)
class CpuExtension:
    """Kernels for CPUs that have certain vector instructions.

    Args:
        kernels: By class of spec, what writes its kernel.
        includes: Other extensions that these CPUs have, by name: they are asked in this order
            for what `kernels` lack or decline. The portable kernels come last without being named.
        tunables: What can be chosen about its kernels.
    """

    kernels: Mapping[type, Generator] = field(default_factory=dict)
    includes: tuple[str, ...] = ()
    tunables: tuple[Tunable, ...] = ()
