"""Everything that can go wrong, as one tree.

    MicroTVMError                 anything but a verdict: the rig, not the model, is in trouble
    ├── ConfigError               wrong usage: an option, a board file, an unwritable folder
    ├── ModelError                a model or an MLF archive that cannot be used
    ├── BuildError                generating or compiling the firmware failed (tool output kept)
    │   └── DoesNotFit            the board has too little memory for the model
    ├── FlashError                the firmware did not reach the board
    ├── LeaseError                no board can be had: others hold them, or they are sick
    ├── TransportError            the link to the device broke
    │   ├── TransportTimeout      nothing came back inside the deadline
    │   └── TransportClosed       the far end went away
    ├── ProtocolError             bytes arrived that the protocol does not allow, or stale firmware
    └── TargetError               the device answered with an error of its own

    OutputMismatch(AssertionError)    a verdict: the device computed something else

    FloatOperatorWarning(UserWarning)    a quantized model is computed in float32, in part

An error is never a verdict: only `OutputMismatch` may fail a test, everything else is a test error.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_MESSAGE_LENGTH = 1000
_ELLIPSIS = " [...] "


def printable(text: str) -> str:
    """A text that may come from a file, a folder or a model, for one line of a terminal.

    Line breaks and control characters are shown as Python writes them: they could make up lines
    that nobody printed, or hide some.
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _shortened(text: str) -> str:
    """A text without its middle, where it is long: a name or a value in a file may be."""
    if len(text) <= _MESSAGE_LENGTH:
        return text
    half = (_MESSAGE_LENGTH - len(_ELLIPSIS)) // 2
    return f"{text[:half]}{_ELLIPSIS}{text[-half:]}"


class MicroTVMError(Exception):
    """Base of every error that is not a verdict.

    Args:
        message: One line that names the thing in trouble.
        cure: What to do next, as a sentence for the user.
        board: The board it happened on, where there is one.
        operation: What was being done ("build", "open", "call microtvm.aot.run", ...).
        elapsed_s: Seconds spent in the operation before it failed.
        details: Further text (a compiler's output, the last log lines of the device); printed after
            the one-line message.
    """

    def __init__(
        self,
        message: str,
        *,
        cure: str = "",
        board: str | None = None,
        operation: str | None = None,
        elapsed_s: float | None = None,
        details: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure
        self.board = board
        self.operation = operation
        self.elapsed_s = elapsed_s
        self.details = details

    def one_line(self) -> str:
        """The error on one line: board, message, operation and time, cure."""
        message = _shortened(self.message)
        line = f"{self.board}: {message}" if self.board else message
        context = []
        if self.operation:
            context.append(f"during {self.operation}")
        if self.elapsed_s is not None:
            context.append(f"after {self.elapsed_s:.1f} s")
        if context:
            line += f" ({', '.join(context)})"
        if self.cure:
            line += f"; {self.cure}"
        return printable(" ".join(line.split()))

    def __str__(self) -> str:
        return f"{self.one_line()}\n{self.details}" if self.details else self.one_line()


@contextlib.contextmanager
def during(what: str) -> Iterator[None]:
    """Tell of errors inside what they happened in, beside the operation that they have.

    Args:
        what: As "step 3".
    """
    try:
        yield
    except MicroTVMError as error:
        error.operation = f"{error.operation}, {what}" if error.operation else what
        raise


class ConfigError(MicroTVMError):
    """Wrong usage; reported before any test runs."""


def refused_path(error: OSError) -> ConfigError:
    """What is told of a path that the system does not take: its name is too long, for instance.

    Args:
        error: What was raised.

    Raises:
        OSError: The same, where it is about no path.
    """
    if error.filename is None:
        raise error
    name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    return ConfigError(f"cannot use {name}: {error.strerror}", cure="name another path")


class ModelError(MicroTVMError):
    """A model file or MLF archive cannot be used."""


class BuildError(MicroTVMError):
    """The firmware project could not be generated or built; `details` keeps the tool's output."""


class DoesNotFit(BuildError):
    """The board has too little memory for the model; the message says what is needed and there."""


class FlashError(MicroTVMError):
    """The firmware did not reach the board."""


class LeaseError(MicroTVMError):
    """No board can be had: somebody else holds it, or it is in quarantine."""


class TransportError(MicroTVMError):
    """The link to the device broke."""


class TransportTimeout(TransportError):
    """Nothing came back inside the deadline."""


class TransportClosed(TransportError):
    """The far end went away."""


class ProtocolError(MicroTVMError):
    """Bytes arrived that the protocol does not allow, or the device runs other firmware."""


class TargetError(MicroTVMError):
    """The device answered with an error of its own."""


class OutputMismatch(AssertionError):
    """The device computed something else than the reference: a verdict, the only one that fails."""


class FloatOperatorWarning(UserWarning):
    """Operators of a quantized model have no integer kernels: the message names them."""
