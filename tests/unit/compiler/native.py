"""Builds an archive with the host's C compiler and runs it by its C interface, via ctypes."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.mlf.library import (
    ModelLibrary,
    TensorSpec,
    extract_library,
    open_library,
    write_library,
)

Array = npt.NDArray[Any]

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wcast-qual"]
WARNINGS += ["-Wshadow", "-Werror"]
C99 = ["gcc", "-std=c99", *WARNINGS]
CXX11 = ["g++", "-std=c++11", "-x", "c++", *WARNINGS]

_CANARY = 0xA5
_CANARY_BYTES = 64


class NativeModel:
    """A model built as a shared library of the host.

    Args:
        files: The archive's contents by path.
        directory: An empty folder to unpack and build in.
        flags: More options for the C compiler.
    """

    def __init__(
        self, files: Mapping[str, bytes], directory: Path, flags: Sequence[str] = ("-O1",)
    ) -> None:
        write_library(directory / "model.tar", files)
        self.library: ModelLibrary = open_library(directory / "model.tar")
        self.root = directory / "model"
        extract_library(directory / "model.tar", self.root)
        built = directory / "model.so"
        compile_c(
            [*C99, *flags, "-fPIC", "-shared"], self.root, [*self.sources, "-lm", "-o", str(built)]
        )
        self._functions = ctypes.CDLL(str(built))
        self._state_bytes: int = self.library.metadata["modules"][self.library.name]["memory"][
            "functions"
        ]["main"][0].get("state_size_bytes", 0)
        self._state, self._state_address = guarded(self._state_bytes)

    @property
    def sources(self) -> list[str]:
        """The generated C files."""
        return [str(path) for path in sorted((self.root / "codegen/host/src").glob("*.c"))]

    def text(self, pattern: str) -> str:
        """The text of all generated files whose name matches `pattern`."""
        paths = sorted((self.root / "codegen/host").rglob(pattern))
        assert paths
        return "".join(path.read_text() for path in paths)

    def file(self, path: str) -> bytes:
        """A member of the archive."""
        return (self.root / path).read_bytes()

    def symbol(self, kind: Any, name: str) -> Any:
        """A global variable of the built library, as the ctypes type `kind`."""
        return kind.in_dll(self._functions, name)

    def __call__(self, *inputs: Array) -> list[Array]:
        """Run once; inputs in the model's order. Checks that nothing else is written."""
        library = self.library
        given = [aligned(spec, array) for spec, array in zip(library.inputs, inputs, strict=True)]
        results = [aligned(spec, None) for spec in library.outputs]
        workspace, arena = guarded(library.workspace_bytes)
        assert self.run_at(_addresses(given), _addresses(results), arena) == 0
        assert is_untouched(workspace)
        for array, before in zip(given, inputs, strict=True):
            np.testing.assert_array_equal(array, before, err_msg="an input was written")
        return results

    def run_at(self, inputs: Sequence[int], outputs: Sequence[int], workspace: int) -> int:
        """Run once on tensors at the given addresses; returns the status."""
        function = getattr(self._functions, f"tvmgen_{self.library.name}_run")
        function.restype = ctypes.c_int32
        status: int = function(_pointers(inputs), _pointers(outputs), self._pools(workspace))
        assert is_untouched(self._state)
        return status

    def reset(self) -> int:
        """Begin a sequence; returns the status."""
        function = getattr(self._functions, f"tvmgen_{self.library.name}_reset")
        function.restype = ctypes.c_int32
        status: int = function(self._pools(0))
        assert is_untouched(self._state)
        return status

    def _pools(self, workspace: int) -> Any:
        return (ctypes.c_void_p * 2)(workspace, self._state_address)


def compile_c(compiler: Sequence[str], root: Path, arguments: Sequence[str]) -> None:
    """Run a C compiler on an unpacked archive; what it says ends up in the failure."""
    include = ["-I", str(root / "codegen/host/include"), "-I", str(root / "runtime/include")]
    command = [*compiler, *include, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def aligned(spec: TensorSpec, content: Array | None) -> Array:
    """A tensor at a multiple of 16 bytes; filled with rubbish when there is no content."""
    raw = np.full(spec.size_bytes + 16, 0x5A, np.uint8)
    start = -raw.ctypes.data % 16
    array = raw[start : start + spec.size_bytes].view(spec.dtype).reshape(spec.shape)
    if content is not None:
        assert (content.shape, str(content.dtype)) == (spec.shape, spec.dtype)
        array[...] = content
    return array


def guarded(size_bytes: int) -> tuple[Array, int]:
    """A workspace with canaries on both sides, and the address of its usable part."""
    # The part is a multiple of 16 bytes, so that aligning its start leaves the canaries whole.
    raw = np.full(size_bytes + 2 * _CANARY_BYTES + 16, _CANARY, np.uint8)
    start = -raw.ctypes.data % 16
    workspace = raw[start : start + size_bytes + 2 * _CANARY_BYTES]
    return workspace, workspace.ctypes.data + _CANARY_BYTES


def is_untouched(workspace: Array) -> bool:
    """Whether nothing was written below or beyond a workspace."""
    edges = workspace[:_CANARY_BYTES], workspace[-_CANARY_BYTES:]
    return all(bool((edge == _CANARY).all()) for edge in edges)


def _addresses(arrays: Sequence[Array]) -> list[int]:
    return [array.ctypes.data for array in arrays]


def _pointers(addresses: Sequence[int]) -> Any:
    return (ctypes.c_void_p * max(1, len(addresses)))(*addresses)
