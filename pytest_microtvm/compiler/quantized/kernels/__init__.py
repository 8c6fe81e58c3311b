"""From specs to C: `generate` asks the CPU's kernels for a spec, and the portable ones last.

common                       which specs the fast kernels are for, and which kernels are equal
portable, dsp, helium, swar64, rvv
                             a table of kernels each, as `extensions.CPU_EXTENSIONS` names them
accumulators, line, on_its_side, patch, scaling
                             what kernels of several CPUs have in common
parts                        weights of 4 and 2 bits
text, c_text                 pieces of C that several of them need
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import replace

from pytest_microtvm.compiler.quantized.choices import Choose, Tunable, Tuned, first
from pytest_microtvm.compiler.quantized.cpu import CpuExtension, Generator
from pytest_microtvm.compiler.quantized.external import load_external
from pytest_microtvm.compiler.quantized.operator import installed_operators
from pytest_microtvm.compiler.quantized.specs import KernelSource, Spec
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.extensions import CPU_EXTENSIONS

PORTABLE = "none"
"""What boards call a CPU without vector instructions."""


def generate(spec: Spec, simd: str = PORTABLE, choose: Choose = first) -> KernelSource:
    """The C of a kernel that does what `spec` says.

    Args:
        spec: What is to be done.
        simd: A CPU extension by its name. Its kernels are asked first, then those of the
            extensions that it includes, then the portable ones; the first that does not decline
            is taken. After a plus sign may follow the name of external kernels, which are asked
            before all others.
        choose: Takes one of several ways to write a kernel; the compiler's own if not given.

    Raises:
        ConfigError: There is no such extension, or an operator from outside has no kernel.
    """
    simd, _, external = simd.partition("+")
    source = _external(spec, external) if external else None
    if source is not None:
        return source
    for kernels in kernel_tables(simd):
        generator = kernels.get(type(spec))
        if isinstance(generator, Tuned):
            source = generator.write(spec, choose)
        else:
            source = None if generator is None else generator(spec)
        if source is not None:
            return source
    raise ConfigError(
        f"there is no portable kernel for the spec {type(spec).__name__}",
        cure="add one to the operator that brings this spec",
    )


def is_external(spec: Spec, simd: str) -> bool:
    """Whether the kernel of a spec is that of a library or an accelerator.

    Args:
        spec: What is to be done.
        simd: As `generate` takes it.
    """
    external = simd.partition("+")[2]
    return bool(external) and _external(spec, external) is not None


def _external(spec: Spec, name: str) -> KernelSource | None:
    """The kernel of a library or an accelerator, if it has one."""
    external = load_external(name)
    generator = external.kernels.get(type(spec))
    source = None if generator is None else generator(spec)
    if source is None:
        return None
    body = source.body
    if external.device is not None and re.search(r"\bdevice\b", body) is None:
        body = f"  (void)device;\n{body}"
    return replace(source, body=body, external=name, device=external.device)


@functools.cache
def kernel_tables(simd: str) -> tuple[Mapping[type, Generator], ...]:
    """The kernels that are asked for a CPU, in this order.

    Raises:
        ConfigError: There is no extension of this name, or one that it includes is missing.
    """
    added = [operator.kernels for operator in installed_operators()]
    return (*(extension.kernels for extension in _extensions(simd)), *added)


def tunables(simd: str) -> dict[str, Tunable]:
    """What can be chosen about the kernels for a CPU, by its name.

    Raises:
        ConfigError: As `kernel_tables`.
    """
    return {each.name: each for extension in _extensions(simd) for each in extension.tunables}


def _extensions(simd: str) -> list[CpuExtension]:
    """An extension, and those that are asked after it."""
    extension: CpuExtension = CPU_EXTENSIONS.load(simd)
    names = dict.fromkeys((*extension.includes, PORTABLE))
    return [extension, *(CPU_EXTENSIONS.load(name) for name in names)]
