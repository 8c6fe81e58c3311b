"""Custom operators of TFLite models: what says how one is compiled.

A `CustomOperator` stands in a module of an installed package, as an entry point of the group
`pytest_microtvm.custom_operators`, or in a Python file that is named by the option
`--microtvm-custom-operators`.
"""

from __future__ import annotations

import hashlib
import os
import runpy
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.extensions import CUSTOM_OPERATORS

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


@dataclass(frozen=True)
class CustomTensor:
    """A tensor that a custom operator reads or makes.

    Attributes:
        name: The model's.
        shape: Its extents; of an output as the file has them, -1 where they are open.
        dtype: NumPy's name of the element type.
        scale: Of quantized values; None for values that are the numbers, or that have several.
        zero_point: Of quantized values.
        value: The values of a constant.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int = 0
    value: Array | None = None


@dataclass(frozen=True)
class CustomCall:
    """One use of a custom operator in a model.

    Attributes:
        inputs: What it reads; None for one that is left out.
        outputs: What it makes.
        data: Its options as the file has them: bytes without a form of their own.
    """

    inputs: tuple[CustomTensor | None, ...]
    outputs: tuple[CustomTensor, ...]
    data: bytes

    @property
    def options(self) -> dict[str, Any]:
        """The options, where they are a map of FlexBuffers, as converters write them.

        Raises:
            ValueError: They are something else.
        """
        from flatbuffers import flexbuffers

        if not self.data:
            return {}
        try:
            found = flexbuffers.Loads(self.data)
        except Exception as error:  # whatever bytes lead it to
            raise ValueError("its options are no FlexBuffers") from error
        if not isinstance(found, dict):
            raise ValueError("its options are no map")
        return found


Shapes = Sequence[Sequence[int]]
Code = Callable[[CustomCall], str]


@dataclass(frozen=True)
class CustomOperator:
    """How a custom operator is compiled.

    Each function may raise ValueError for a use that it does not know: the model is refused, with
    what the error says. TypeError is raised for what no operator can be made of.

    Attributes:
        name: The operator's, as the model has it.
        shapes: The shapes of all outputs. Element types are those of the file.
        code: The statements of the kernel in C99, over `input0`, `input1`, ... (pointers to const,
            without those that are left out), `output`, `output1`, ... and, where it asks for it,
            `workspace`. No two of them overlap. What it keeps from run to run comes behind: the old
            values after the inputs, the new ones after the outputs. Constants are inputs, too.
        files: Paths of headers and C files that the statements need, from the folder of the Python
            file on; they go into the archive and are included before the kernel.
        states: What it keeps begins as these arrays.
        workspace_bytes: Scratch memory, aligned to 16 bytes.
        reference: All outputs, and new states, as arrays, from the arrays of inputs and states. The
            kernel is held to it on this machine when a model is compiled.
        tolerance: How far floats of the kernel may be off the reference, and as much of the value.
    """

    name: str
    shapes: Callable[[CustomCall], Shapes]
    code: Code
    files: Sequence[Path | str] = ()
    states: Callable[[CustomCall], Sequence[Array]] = lambda call: ()
    workspace_bytes: Callable[[CustomCall], int] = lambda call: 0
    reference: Callable[[CustomCall, Sequence[Array]], Sequence[Array]] | None = None
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        name: object = self.name
        if not isinstance(name, str) or not name:
            raise TypeError(f"the name of a CustomOperator is text, not {name!r}")
        for field in fields(self):
            given = getattr(self, field.name)
            is_function = field.name not in ("name", "files", "tolerance")
            is_left_out = given is None and field.default is None
            if is_function and not callable(given) and not is_left_out:
                raise TypeError(
                    f"{field.name} of the CustomOperator {name!r} is {given!r}, no function"
                )
        files: object = self.files
        if isinstance(files, str | os.PathLike) or not isinstance(files, Sequence):
            raise TypeError(f"files of the CustomOperator {name!r} is {files!r}, no tuple of paths")
        object.__setattr__(self, "files", tuple(map(Path, files)))


def custom_operators(files: Sequence[str] = ()) -> Mapping[str, CustomOperator]:
    """All custom operators by name: ours, those of packages, and those of Python files.

    Args:
        files: Paths of Python files; each object in them that is a `CustomOperator` counts.

    Raises:
        ConfigError: A file cannot be run or has none, or two operators have one name.
    """
    found: dict[str, tuple[CustomOperator, str]] = {}
    known = [
        (CUSTOM_OPERATORS.load(name), f"what is installed as {name!r}")
        for name in CUSTOM_OPERATORS.names()
    ]
    known += [(operator, file) for file in files for operator in _operators_of(file)]
    for operator, source in known:
        if not isinstance(operator, CustomOperator):
            raise ConfigError(
                f"{operator!r}, by {source}, is registered as a custom operator, but is none",
                cure="register a pytest_microtvm.CustomOperator",
            )
        if operator.name in found:
            _, other = found[operator.name]
            raise ConfigError(
                f"the custom operator {operator.name!r} is registered twice, by {other} and by "
                f"{source}",
                cure="remove one of them; what comes with this package cannot be replaced",
            )
        found[operator.name] = operator, source
    return {name: operator for name, (operator, _) in found.items()}


def content_of(files: Sequence[str]) -> list[str]:
    """What tells Python files with custom operators, and the files that these need, from others."""
    contents = []
    for file in files:
        operators = _operators_of(file)
        contents.append(Path(file).read_bytes())
        for operator in operators:
            contents += [_read(Path(path), operator.name) for path in operator.files]
    return [hashlib.sha256(content).hexdigest() for content in contents]


def _operators_of(file: str) -> list[CustomOperator]:
    if not Path(file).is_file():
        raise ConfigError(
            f"there is no file {file}", cure="name a Python file that defines a CustomOperator"
        )
    try:
        names = runpy.run_path(file)
    except (Exception, SystemExit) as error:  # a user's code: anything may happen
        raise ConfigError(
            f"{file} cannot be run for its custom operators: {where_it_failed(error)}",
            cure="correct that file; it has to define a CustomOperator",
        ) from error
    found = [value for value in names.values() if isinstance(value, CustomOperator)]
    unique = list({id(operator): operator for operator in found}.values())
    if not unique:
        raise ConfigError(
            f"{file} defines no custom operator",
            cure="bind a pytest_microtvm.CustomOperator to a name in it",
        )
    folder = Path(file).absolute().parent
    return [replace(each, files=tuple(folder / path for path in each.files)) for each in unique]


def _read(path: Path, operator: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}, which the custom operator {operator!r} needs, cannot be read: "
            f"{error.strerror}",
            cure="check the operator's files",
        ) from error


def where_it_failed(error: BaseException) -> str:
    """What a user's code raised, on one line, and the line of that code."""
    said = " ".join(str(error).split())
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__
    if isinstance(error, SyntaxError):
        return what  # which tells the line
    known = (str(Path(__file__).parents[1]), str(Path(runpy.__file__)), "<frozen")
    frames = traceback.extract_tb(error.__traceback__)
    users = [frame for frame in frames if not frame.filename.startswith(known)]
    return f"{what} ({Path(users[0].filename).name}, line {users[0].lineno})" if users else what


def random_inputs(call: CustomCall) -> list[Array]:
    """Inputs to try a kernel with: random, but constants as they are."""
    import numpy as np  # not for those who only name operators

    rng = np.random.default_rng(0)
    found: list[Array] = []
    for tensor in call.inputs:
        if tensor is None:
            continue
        if tensor.value is not None:
            found.append(tensor.value)
        elif tensor.dtype.startswith("float"):
            found.append(rng.normal(size=tensor.shape).astype(tensor.dtype))
        elif tensor.dtype == "bool":
            found.append(rng.random(tensor.shape) < 0.5)
        else:
            limits = np.iinfo(tensor.dtype)
            low, high = max(int(limits.min), -(1 << 15)), min(int(limits.max), (1 << 15) - 1)
            found.append(rng.integers(low, high, tensor.shape, endpoint=True).astype(tensor.dtype))
    return found
