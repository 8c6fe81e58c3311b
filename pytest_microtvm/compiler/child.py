"""Starts the compiler as a process of its own and listens to it.

The child writes one JSON object per line to a pipe of its own: {"progress": STEP} when a step
begins, at last {"done": true} or {"error": {...}}. Whatever TVM prints goes to a temporary file.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pytest_microtvm.compiler.options import CompileLimits, CompileOptions, written_input_shapes
from pytest_microtvm.compiler.pools import written_pool
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import ConfigError, DoesNotFit, MicroTVMError, ModelError
from pytest_microtvm.forks import Fork, ForkError, Forks, Program
from pytest_microtvm.process import fill_standard_streams, package_environment

COMPILER = Program(
    "pytest_microtvm.compiler.__main__",
    (
        *("tvm", "tvm.relax", "numpy.ma", "flatbuffers", "tflite"),
        "pytest_microtvm.compiler.pipeline",
        *("pytest_microtvm.compiler.frontends.tflite", "pytest_microtvm.compiler.custom_operators"),
        *(f"pytest_microtvm.compiler.quantized.kernels.{name}" for name in ("portable", "floats")),
    ),
    family="compiler",
)

_ERRORS: dict[str, type[MicroTVMError]] = {
    kind.__name__: kind for kind in (ConfigError, DoesNotFit, ModelError)
}


def run_child(
    model: Path,
    output: Path,
    options: CompileOptions,
    deadline: Deadline,
    progress: Callable[[str], None],
    limits: CompileLimits,
    forks: Forks | None,
) -> None:
    """Compile `model` to `output` in a process; see `compiler.compile_model`."""
    try:
        # Next to the output, so that the finished archive can be moved there at once.
        folder = tempfile.mkdtemp(prefix=".microtvm-compile-", dir=output.parent)
    except OSError as error:
        raise ConfigError(
            f"cannot write to {output.parent}: {error.strerror}",
            cure="choose a folder that can be written",
        ) from error
    try:
        archive = Path(folder) / "model.tar"
        # A folder of its own, and empty: a path that a model holds leads nowhere from there.
        (Path(folder) / "empty").mkdir()
        with contextlib.ExitStack() as own:
            starter = forks or own.enter_context(Forks())
            _compile(model, archive, options, deadline, progress, limits, starter)
        archive.replace(output)
    except OSError as error:
        raise ConfigError(
            f"cannot write {output}: {error.strerror}",
            cure="make room there, or choose another folder",
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compile(
    model: Path,
    archive: Path,
    options: CompileOptions,
    deadline: Deadline,
    progress: Callable[[str], None],
    limits: CompileLimits,
    forks: Forks,
) -> None:
    fill_standard_streams()
    read_fd, write_fd = os.pipe()
    try:
        with tempfile.TemporaryFile() as printed, Path(os.devnull).open("rb") as null:
            try:
                child = forks.start(
                    COMPILER,
                    _arguments(model, archive, options, write_fd, limits),
                    (null.fileno(), printed.fileno(), printed.fileno()),
                    deadline=deadline,
                    pass_fds=(write_fd,),
                    folder=archive.parent / "empty",
                    environment=_environment(),
                )
            except ForkError as error:
                raise _not_started(model, error, deadline) from error
            try:
                os.close(write_fd)
                write_fd = -1
                _listen(child, read_fd, model, deadline, progress)
            finally:
                child.end()
    finally:
        os.close(read_fd)
        if write_fd >= 0:
            os.close(write_fd)


def _not_started(model: Path, error: ForkError, deadline: Deadline) -> ModelError:
    if error.is_late:
        return _too_slow(model, deadline)
    return ModelError(
        f"{model.name}: the compiler {error.what}",
        cure="run python -m pytest_microtvm.compiler, which prints what is wrong",
        operation="compile",
        elapsed_s=deadline.elapsed_s,
    )


def _arguments(
    model: Path, archive: Path, options: CompileOptions, report_fd: int, limits: CompileLimits
) -> list[str]:
    arguments = [str(model), str(archive)]
    if options.name is not None:
        arguments += ["--name", options.name]
    arguments += ["--simd", options.simd]
    arguments += ["--core", options.core]
    if options.tuning is not None:
        arguments += ["--tuning", options.tuning]
    if options.io_in_arena:
        arguments.append("--io-in-arena")
    arguments += ["--memory-bytes", str(limits.memory_bytes)]
    if limits.constants_bytes is not None:
        arguments += ["--constants-bytes", str(limits.constants_bytes)]
    for text in written_input_shapes(options.input_shapes):
        arguments += ["--input-shapes", text]
    for file in options.custom_operators:
        arguments += ["--custom-operators", file]
    if options.signature is not None:
        arguments += ["--signature", options.signature]
    for pool in options.memory.pools:
        arguments += ["--pool", written_pool(pool)]
    for constant_pool in options.memory.constant_pools:
        arguments += ["--constant-pool", written_pool(constant_pool)]
    if options.external:
        arguments += ["--external", options.external]
    if options.memory.io_pool:
        arguments += ["--io-pool", options.memory.io_pool]
    return [*arguments, "--report-fd", str(report_fd)]


def _environment() -> dict[str, str]:
    """The child's environment: no thread pools."""
    environment = package_environment()
    # Constants are folded one small kernel at a time: threads would only wait for each other.
    for variable in ("TVM_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment[variable] = "1"
    return environment


def _listen(
    child: Fork,
    read_fd: int,
    model: Path,
    deadline: Deadline,
    progress: Callable[[str], None],
) -> None:
    """Pass the child's progress on until it is done; raise what it reports."""
    for event in _events(read_fd, model, deadline):
        if "progress" in event:
            progress(str(event["progress"]))
        elif "error" in event:
            raise _reported(event["error"])
        elif "done" in event:
            return
    status = child.wait()
    how = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
    raise ModelError(
        f"{model.name}: the compiler ended {how}",
        cure="check that the file is whole; to see what TVM printed, run "
        f"python -m pytest_microtvm.compiler {model} /tmp/model.tar",
        operation="compile",
        elapsed_s=deadline.elapsed_s,
    )


def _events(read_fd: int, model: Path, deadline: Deadline) -> Iterator[dict[str, Any]]:
    """The child's reports until it closes the pipe."""
    received = b""
    with selectors.DefaultSelector() as selector:
        selector.register(read_fd, selectors.EVENT_READ)
        while True:
            if not selector.select(deadline.remaining_s):
                raise _too_slow(model, deadline)
            block = os.read(read_fd, 65536)
            if not block:
                return
            *lines, received = (received + block).split(b"\n")
            for line in lines:
                yield json.loads(line)


def _too_slow(model: Path, deadline: Deadline) -> ModelError:
    return ModelError(
        f"{model.name}: compiling took longer than {deadline.timeout_s:g} s",
        cure="use a smaller model, or raise the ini key microtvm_compile_timeout",
        operation="compile",
        elapsed_s=deadline.elapsed_s,
    )


def _reported(error: dict[str, str]) -> MicroTVMError:
    kind = _ERRORS.get(error["type"], ModelError)
    return kind(error["message"], cure=error["cure"])
