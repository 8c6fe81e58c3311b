"""Runs float kernels by themselves on this machine: from a spec to C to a shared library."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.emit.functions import definition
from pytest_microtvm.compiler.kernels import generated_kernel
from pytest_microtvm.compiler.naming import KERNEL_INCLUDE
from pytest_microtvm.compiler.quantized.kernels import generate
from pytest_microtvm.compiler.quantized.rewriting import GeneratedKernel
from pytest_microtvm.compiler.quantized.specs import Spec
from tests.unit.compiler.native import C99, compile_c, guarded, is_untouched

Array = npt.NDArray[Any]


def run_kernels(
    specs: Sequence[Spec],
    inputs: Sequence[Sequence[Array]],
    sizes: Sequence[int],
    simd: str,
    folder: Path,
    flags: Sequence[str] = ("-O1",),
) -> list[Array]:
    """What the kernels of specs make of inputs, flat.

    Args:
        specs: What is to be computed.
        inputs: Of each kernel.
        sizes: Elements of the output of each kernel.
        simd: The CPU's extension.
        folder: An empty folder to work in.
        flags: For the C compiler.
    """
    sources = [generate(spec, simd) for spec in specs]
    headers = sorted({header for source in sources for header in source.headers})
    lines = [f'#include "{header}"\n' for header in headers]
    lines.append("#define TVMGEN_RESTRICT restrict\n")
    for number, source in enumerate(sources):
        kernel = generated_kernel("k", f"k{number}", GeneratedKernel("k", source, (), ""), ())
        text = definition(kernel)
        lines += [text[text.index("void k") :].split("{")[0] + ";\n", text]
    (folder / "kernels.c").write_text("".join(lines))
    library = folder / "kernels.so"
    include = ["-I", str(KERNEL_INCLUDE)]
    arguments = ["-fPIC", "-shared", str(folder / "kernels.c"), "-lm", "-o", str(library)]
    compile_c([*C99, *flags, *include], folder, arguments)
    functions = ctypes.CDLL(str(library))
    results = []
    for number, (source, given, size) in enumerate(zip(sources, inputs, sizes, strict=True)):
        output, address = guarded(4 * size)
        workspace, scratch = guarded(source.workspace_bytes)
        arrays = [np.ascontiguousarray(array) for array in (*given, *source.constants)]
        addresses = [array.ctypes.data for array in arrays] + [address]
        if source.workspace_bytes:
            addresses.append(scratch)
        getattr(functions, f"k{number}")(*map(ctypes.c_void_p, addresses))
        assert is_untouched(output)
        assert is_untouched(workspace)
        start = address - output.ctypes.data
        results.append(output[start : start + 4 * size].view(np.float32).copy())
    return results
