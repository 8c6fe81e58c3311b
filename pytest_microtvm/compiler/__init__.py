"""The compiler: a model file in, an MLF archive out.

`compile_model` runs TVM in a child process, because importing TVM takes a second, its passes may
take long, and a damaged model may crash them. Nothing in this module imports TVM.

    frontends/    a model file of any format as a Relax module
    quantized/    kernels over integers in place of quantized operators
    tuning/       logs of what was measured, by which some kernels are written
    lowering      Relax to a flat list of kernel calls (`program`)
    kernels       TIR functions to C over plain pointers
    planning      every intermediate and workspace at an offset of one arena
    graph         the calls as the JSON of a graph executor
    emit/         C files, descriptions for the runtime, metadata and the rest of the archive
    pipeline      all of it in one process; `__main__` is the child's entry
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import metadata as distributions
from pathlib import Path
from typing import Any

from pytest_microtvm.compiler.child import run_child
from pytest_microtvm.compiler.custom import content_of
from pytest_microtvm.compiler.options import (
    MEMORY_BYTES,
    CompileLimits,
    CompileOptions,
    check_file_size,
    export_time_s,
)
from pytest_microtvm.compiler.source_tree import digest_of
from pytest_microtvm.compiler.tuning_files import tuning_digest
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import ConfigError, ModelError
from pytest_microtvm.extensions import COMPILER_GROUPS
from pytest_microtvm.forks import Forks
from pytest_microtvm.model_files import weight_files

__all__ = [
    "MEMORY_BYTES",
    "CompileLimits",
    "CompileOptions",
    "compile_key",
    "compile_model",
    "compile_to_files",
]

_TOOLS = ("apache-tvm", "tflite", "onnx", "numpy")
"""Packages whose versions may change what comes out."""


def compile_model(
    model: Path,
    output: Path,
    options: CompileOptions,
    deadline: Deadline,
    progress: Callable[[str], None] = lambda step: None,
    limits: CompileLimits | None = None,
    forks: Forks | None = None,
) -> None:
    """Compile a model into an MLF archive, in a process of its own.

    Args:
        model: A file that a front end reads: .tflite, .onnx, a .json file with a Relax module.
        output: Where the archive goes, all at once and only on success.
        options: How to compile.
        deadline: The process is killed when it expires.
        progress: Called with the name of each step as it begins.
        limits: What that may take.
        forks: Starts the process; None for a fork server of its own.

    Raises:
        ModelError: The model cannot be compiled, the compiler crashed on it, or time or memory ran
            out.
        DoesNotFit: The model has more constants than the limits allow.
        ConfigError: The archive cannot be written.
    """
    _require_file(model)
    limits = limits or CompileLimits()
    run_child(model.absolute(), output.absolute(), options, deadline, progress, limits, forks)


def compile_key(model: Path, options: CompileOptions) -> str:
    """A hash of everything that decides what `compile_model` writes, in hexadecimal.

    It covers the model's bytes and name, those of the files with its weights, the options, the
    versions of TVM and the packages that read models, what other packages add to the compiler, and
    the sources of this compiler and of the runtime that goes into archives.

    Raises:
        ModelError: The model cannot be read.
    """
    _require_file(model)
    versions = {name: _version(name) for name in _TOOLS}
    external = options.external.partition("=")[2]
    identity = {
        "name": model.name,
        "options": asdict(options),
        "versions": versions,
        "export_time_s": export_time_s(),
        "extensions": [group.identity() for group in COMPILER_GROUPS],
        "custom_operators": content_of(options.custom_operators),
        "external": digest_of(Path(external)) if external else "",
        "tuning": tuning_digest(options.core, options.tuning),
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
    try:
        for path in (model, *weight_files(model), *_source_files()):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    except OSError as error:
        raise _unreadable(model, error) from error
    return digest.hexdigest()


def compile_to_files(
    model: Path | Any,
    options: CompileOptions | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Mapping[str, bytes]:
    """Compile a model, or a TVM IRModule, in this process; see `pipeline.compile_to_files`."""
    from pytest_microtvm.compiler import pipeline

    return pipeline.compile_to_files(model, options, progress)


def _require_file(model: Path) -> None:
    try:
        if not model.is_file():
            what = "is not a file" if model.exists() else "does not exist"
            raise ModelError(f"the model {model} {what}", cure="check the path")
        with model.open("rb"):
            check_file_size(model)
    except OSError as error:
        raise _unreadable(model, error) from error


def _unreadable(model: Path, error: OSError) -> ModelError:
    return ModelError(
        f"the model {model} cannot be read: {error.strerror}", cure="check its permissions"
    )


def _version(name: str) -> str | None:
    try:
        return distributions.version(name)
    except distributions.PackageNotFoundError:
        if name == "apache-tvm":
            raise ConfigError(
                "Apache TVM is not installed", cure="pip install 'apache-tvm>=0.27'"
            ) from None
        return None


def _source_files() -> list[Path]:
    """The files of this compiler and of the runtime, in an order that does not change."""
    package = Path(__file__).parent.parent
    sources = list((package / "mlf").glob("*.py"))
    sources += Path(__file__).parent.rglob("*.py")
    sources += Path(__file__).parent.rglob("*.h")
    for part in ("include", "src"):
        sources += (package / "runtime" / part).rglob("*.[ch]")
    return sorted(sources)
