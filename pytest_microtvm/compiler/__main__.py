"""The compiler as a process: `python -m pytest_microtvm.compiler MODEL OUTPUT.tar`.

`compiler.compile_model` starts it with `--report-fd`; by hand it prints steps and errors.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_microtvm.compiler.failures import summary
from pytest_microtvm.compiler.options import (
    MEMORY_BYTES,
    CompileOptions,
    export_time_s,
    located,
    parse_input_shapes,
)
from pytest_microtvm.compiler.pools import parse_memory
from pytest_microtvm.errors import MicroTVMError, ModelError
from pytest_microtvm.extensions import CPU_EXTENSIONS
from pytest_microtvm.mlf.library import open_library, write_library

Report = Callable[[dict[str, Any]], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile one model; returns the exit status.

    Args:
        arguments: The command line; that of this process, whose memory is limited then, if None.
    """
    options = _parser().parse_args(arguments)
    if arguments is None:  # this process is the compiler's
        _limit_resources(options.memory_bytes)
    report = _printer() if options.report_fd is None else _pipe(options.report_fd)
    try:
        _compile(options, report)
    except MicroTVMError as error:
        report({"error": _describe(type(error).__name__, error.message, error.cure)})
        return 1
    except Exception as error:
        if options.report_fd is None:
            raise
        report({"error": _unexpected(options.model, error)})
        return 1
    report({"done": True})
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pytest_microtvm.compiler")
    parser.add_argument("model", type=Path, help="a model file that a front end reads")
    parser.add_argument("output", type=Path, help="the archive to write")
    parser.add_argument(
        "--name", help="names the module; the stem of the model's file if not given"
    )
    parser.add_argument(
        "--simd",
        choices=CPU_EXTENSIONS.names(),
        default=CompileOptions.simd,
        help="vector instructions that integer kernels are written for (default: none)",
    )
    parser.add_argument(
        "--io-in-arena", action="store_true", help="leave room for inputs and outputs in the arena"
    )
    parser.add_argument("--memory-bytes", type=int, default=MEMORY_BYTES, help=argparse.SUPPRESS)
    parser.add_argument("--constants-bytes", type=int, help=argparse.SUPPRESS)
    parser.add_argument(
        "--input-shapes",
        action="append",
        default=[],
        metavar="NAME:[1,16]",
        help="the shape of an input that the model leaves open; what is not given is 1",
    )
    parser.add_argument(
        "--custom-operators",
        action="append",
        default=[],
        metavar="FILE.py",
        help="a Python file with custom operators",
    )
    parser.add_argument("--signature", help="the signature to compile, of a model with several")
    parser.add_argument(
        "--pool",
        action="append",
        default=[],
        metavar="name=NAME,size=64K",
        help="memory for tensors, or a .toml file with pools",
    )
    parser.add_argument(
        "--constant-pool",
        action="append",
        default=[],
        metavar="name=NAME,size=64K",
        help="memory for constants, which the application fills",
    )
    parser.add_argument("--io-pool", default="", help="the pool that inputs and outputs are in")
    parser.add_argument(
        "--external",
        default="",
        metavar="NAME[=PATH]",
        help="kernels of a library or an accelerator, with the sources that they need",
    )
    parser.add_argument("--core", default="", help="the CPU core whose tuning log is read")
    parser.add_argument("--tuning", metavar="FILE", help="a tuning log of one's own, or 'none'")
    parser.add_argument("--report-fd", type=int, help=argparse.SUPPRESS)
    return parser


def _compile(options: argparse.Namespace, report: Report) -> None:
    from pytest_microtvm.compiler.pipeline import compile_to_files

    files = compile_to_files(
        options.model,
        CompileOptions(
            name=options.name,
            simd=options.simd,
            io_in_arena=options.io_in_arena,
            input_shapes=parse_input_shapes(options.input_shapes),
            memory=parse_memory(options.pool, options.constant_pool, options.io_pool),
            signature=options.signature,
            custom_operators=tuple(options.custom_operators),
            external=located(options.external),
            core=options.core,
            tuning=options.tuning,
        ),
        lambda step: report({"progress": step}),
        options.constants_bytes,
    )
    report({"progress": "writing"})
    write_library(options.output, files, export_time_s())
    _check(options)


def _check(options: argparse.Namespace) -> None:
    """Refuse what could not be opened, before anybody has it."""
    try:
        open_library(options.output)
    except ModelError as error:
        options.output.unlink()
        raise ModelError(
            f"{options.model.name}: what was made of it is no archive that can be used: "
            f"{error.message}",
            cure="use a model that fits a microcontroller",
        ) from error


def _limit_resources(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or hard > memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, hard))


def _pipe(report_fd: int) -> Report:
    os.set_inheritable(report_fd, False)

    def report(event: dict[str, Any]) -> None:
        os.write(report_fd, json.dumps(event).encode() + b"\n")

    return report


def _printer() -> Report:
    def report(event: dict[str, Any]) -> None:
        error = event.get("error")
        line = f"{error['message']}; {error['cure']}" if error else event.get("progress", "done")
        sys.stderr.write(f"{line}\n")

    return report


def _describe(kind: str, message: str, cure: str) -> dict[str, str]:
    return {"type": kind, "message": message, "cure": cure}


def _unexpected(model: Path, error: Exception) -> dict[str, str]:
    """A fault of the compiler itself."""
    return _describe(
        "ModelError",
        f"{model.name}: the compiler failed: {type(error).__name__}: {summary(error)}",
        "to see TVM's whole message, run "
        f"python -m pytest_microtvm.compiler {model} /tmp/model.tar",
    )


if __name__ == "__main__":
    sys.exit(main())
