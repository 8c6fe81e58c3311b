"""Kernels from outside: those of a library, or of an accelerator.

A member of the group `extensions.EXTERNAL_KERNELS` is asked for each layer that is computed over
integers, before the CPU's own kernels are. A board names it in `cpu.external`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_microtvm.compiler.program import Device
from pytest_microtvm.compiler.quantized.cpu import Generator
from pytest_microtvm.compiler.source_tree import SourceTree
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.extensions import EXTERNAL_KERNELS

_LINK_FLAG = re.compile(r"-l[A-Za-z0-9_.+-]+\Z")

Collector = Callable[[SourceTree, str], Mapping[str, bytes]]


@dataclass(frozen=True)
class ExternalKernels:
    """Kernels that a library has, or an accelerator.

    Args:
        kernels: By class of spec, what writes the C of its kernel: statements of its own, or a call
            of a function of the library. It declines a spec by None.
        device: The accelerator that runs them, if they are not for the CPU. Each kernel has one
            more parameter then, `void *device`, the instance that the application names.
        headers: What the C includes.
        files: The library's own files, which go into the archive: `.c`, `.h` or `.a`.
        sources: What the user has to bring, in a word for messages: "the sources of CMSIS-NN".
            Empty for nothing.
        collect: Takes from there what the text of the kernels needs: contents by path below
            codegen/host.
        link_flags: Further libraries that a firmware is linked with, as `-lname`.
    """

    kernels: Mapping[type, Generator] = field(default_factory=dict)
    device: Device | None = None
    headers: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    sources: str = ""
    collect: Collector | None = None
    link_flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for flag in self.link_flags:
            if not _LINK_FLAG.match(flag):
                raise ConfigError(
                    f"external kernels are to be linked with {flag!r}",
                    cure="name libraries, as -lname; put other flags into the board's definition",
                )


def load_external(name: str) -> ExternalKernels:
    """The external kernels of a name.

    Raises:
        ConfigError: There are none, or the package that adds them is broken.
    """
    found: Any = EXTERNAL_KERNELS.load(name)
    if not isinstance(found, ExternalKernels):
        raise ConfigError(
            f"the external kernels {name!r} are a {type(found).__name__}",
            cure="register an object of compiler.quantized.external.ExternalKernels",
        )
    return found
