"""How much stack a model takes: what a board's compiler says of each function.

The stack of a run is that of the deepest chain of calls from the run function on, through the call
plan and its kernels. What libm and memcpy take comes on top of that, and is little.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_microtvm.errors import BuildError
from pytest_microtvm.temporary import TemporaryFolder

_COMPILE_TIMEOUT_S = 300.0
_LINE = re.compile(r"^[^\t]*:(\w+)\t(\d+)\t(\S+)$", re.MULTILINE)
_EDGE = re.compile(r'sourcename: "(?:[^":]*:)?(\w+)" targetname: "(?:[^":]*:)?(\w+)"')
_FLAGS = (
    "-std=c99",
    "-O2",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fstack-usage",
    "-fcallgraph-info=su",
    "-c",
)


@dataclass(frozen=True)
class StackUse:
    """What a model takes of the stack.

    Args:
        compiler: Which compiler says so, with the flags that it was given.
        run_bytes: At most, in a run.
        kernels: The bytes of each kernel's frames, by its C name.
    """

    compiler: str
    run_bytes: int
    kernels: Mapping[str, int]

    def header(self, prefix: str) -> str:
        """The text of tvmgen_NAME_stack.h.

        Args:
            prefix: What the model's macros begin with.
        """
        guard = f"{prefix}_STACK_H_"
        kernels = "".join(
            f"#define {name.upper()}_STACK_BYTES {size}\n" for name, size in self.kernels.items()
        )
        return (
            f"/* SPDX-License-Identifier: Apache-2.0 */\n#ifndef {guard}\n#define {guard}\n\n"
            "/* Bytes of stack, by -fstack-usage of\n"
            f"   {self.compiler}\n"
            "   A task that runs the model needs so many beside its own: the deepest chain of\n"
            "   calls. Functions of libm come on top of that. */\n"
            f"#define {prefix}_STACK_BYTES {self.run_bytes}\n\n"
            f"/* Each kernel. */\n{kernels}\n#endif /* {guard} */\n"
        )


def measure_stack(
    sources: Mapping[str, bytes],
    headers: Mapping[str, bytes],
    kernels: Sequence[str],
    compiler: Sequence[str],
    prefix: str,
) -> StackUse:
    """Compile a model's sources for what the compiler says of the stack.

    Args:
        sources: By file name.
        headers: By their path as sources include them.
        kernels: The C names of the kernels.
        compiler: The compiler and its flags for the CPU.
        prefix: What the names of the model's functions begin with.

    Raises:
        BuildError: The compiler is missing or fails, or does not tell a bound.
    """
    with TemporaryFolder("stack") as root:
        for name, content in {**headers, **sources}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        frames: dict[str, int] = {}
        calls: list[tuple[str, str]] = []
        for name in sources:
            command = [*compiler, *_FLAGS, "-I.", name, "-o", "object.o"]
            frames.update(_frames(command, root))
            calls += _EDGE.findall((root / "object.ci").read_text(encoding="utf-8"))
    missing = [name for name in kernels if name not in frames]
    if missing:
        raise BuildError(f"{shlex.join(compiler)} does not tell the stack of {missing[0]}")
    return StackUse(
        f"{_version(compiler)} {shlex.join([*compiler[1:], *_FLAGS[1:4]])}",
        _deepest(f"{prefix}_run", frames, calls),
        {name: frames[name] for name in kernels},
    )


def _deepest(function: str, frames: Mapping[str, int], calls: Sequence[tuple[str, str]]) -> int:
    """The bytes of a function's frame and of all below it; none of them calls itself."""
    called = {target for source, target in calls if source == function}
    below = (_deepest(target, frames, calls) for target in called if target != function)
    return frames.get(function, 0) + max(below, default=0)


def _frames(command: Sequence[str], folder: Path) -> dict[str, int]:
    """The stack of each function that a command compiles."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_COMPILE_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(
            f"the compiler {command[0]} cannot be run: {error}",
            cure="install the board's toolchain; microtvm doctor says how",
        ) from error
    if done.returncode != 0:
        raise BuildError(
            f"{command[0]} does not compile the model's code", details=done.stderr.strip()
        )
    text = (folder / "object.su").read_text(encoding="utf-8")
    frames = {}
    for name, size, kind in _LINE.findall(text):
        if kind == "dynamic":
            raise BuildError(f"{command[0]} finds no bound of the stack of {name}")
        frames[name] = int(size)
    return frames


def _version(compiler: Sequence[str]) -> str:
    done = subprocess.run(
        [compiler[0], "--version"], capture_output=True, text=True, timeout=_COMPILE_TIMEOUT_S
    )
    return done.stdout.splitlines()[0]
