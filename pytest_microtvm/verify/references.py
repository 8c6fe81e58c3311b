"""What the outputs of a device are compared with, by name."""

from __future__ import annotations

from pathlib import Path

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.executors import EXECUTORS

HOST = "host"
"""The same archive on this computer, by its call plan."""

_INTERPRETER_TITLES = {
    "litert": "LiteRT's reference kernels",
    "onnxruntime": "onnxruntime",
    "torch": "PyTorch",
}
INTERPRETERS = tuple(_INTERPRETER_TITLES)
"""The original model, by its own interpreter."""

REFERENCES = (HOST, *EXECUTORS, *INTERPRETERS)
"""An executor stands for the same archive on the same board with that executor."""

_TITLES = {HOST: "the host reference", **_INTERPRETER_TITLES}


def reference_title(reference: str | Path) -> str:
    """What a report calls a reference: one of `REFERENCES`, or an `.npz` file of outputs."""
    if isinstance(reference, Path):
        return reference.name
    return _TITLES.get(reference, f"the executor {reference}")


def check_reference(reference: str | Path) -> str | Path:
    """Make sure that a reference can be had.

    Args:
        reference: One of `REFERENCES`, or the path of an `.npz` file of outputs.

    Returns:
        A name as a string, a file as a path.

    Raises:
        ConfigError: There is no reference of that name, or no such file.
    """
    if reference in REFERENCES:
        return str(reference)
    path = Path(reference)
    if path.suffix != ".npz":
        raise ConfigError(
            f"unknown reference {str(reference)!r}",
            cure=f"references: {', '.join(REFERENCES)}, or the path of an .npz file",
        )
    if not path.is_file():
        raise ConfigError(f"there is no file {path}", cure="check the path of the reference")
    return path
