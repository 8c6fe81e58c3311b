"""What TVM's exceptions say, on one line."""

from __future__ import annotations

import re

from pytest_microtvm.errors import ModelError

_OPERATOR = re.compile(r'ir\.Op\(.*?name="([\w.]+)".*?support_level=\d+\)')
_INTEGER = re.compile(r"T\.int64\((-?\d+)\)")
_SHAPE = re.compile(r"R\.shape\((\[[^]]*\])\)")
_CONSTANT = re.compile(r'metadata\["ir\.GenericConst"\]\[\d+\]\s*# Metadata omitted[^\n]*\n?')
_NOISE = ("Traceback", "File ", "#", "^", "~", "Stack trace", "note:")
_LONGEST = 300


def summary(error: BaseException) -> str:
    """The line of a message that says what is wrong.

    TVM's messages may hold a stack, printed IR and hints next to that line, and name operators and
    shapes by what prints them.
    """
    said = _OPERATOR.sub(r"\1", _CONSTANT.sub("a constant", str(error)))
    said = _SHAPE.sub(r"\1", _INTEGER.sub(r"\1", said))
    lines = [line.strip() for line in said.splitlines()]
    lines = [line for line in lines if line and not line.startswith(_NOISE)]
    telling = [line for line in lines if "Check failed" in line or "Error:" in line]
    line = (telling or lines or ["it gives no reason"])[0]
    line = line.rstrip(".")
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def out_of_memory(step: str, error: BaseException) -> ModelError | None:
    """The error to raise where memory ran out; None where something else is wrong.

    Args:
        step: What was being done, as in "to ... the model takes".
        error: What was raised.
    """
    if not isinstance(error, MemoryError) and "bad_alloc" not in str(error):
        return None
    return ModelError(
        f"to {step} the model takes more memory than it may",
        cure="use a smaller model, or raise the ini key microtvm_compile_memory_mb",
    )


def tvm_failure(step: str, error: BaseException) -> ModelError:
    """The error to raise when TVM fails for a reason of its own.

    Args:
        step: What TVM was doing, as in "TVM cannot ... the model".
        error: What it raised.
    """
    return out_of_memory(step, error) or ModelError(
        f"TVM cannot {step} the model: {type(error).__name__}: {summary(error)}",
        cure="check that its shapes are fixed and its operators supported, or leave out the "
        "operator that TVM names",
    )
