"""Input tensors for a run: made deterministically for a model, or read from an `.npz` file."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.mlf.library import TensorSpec

MAX_FILE_BYTES = 512 * 1024 * 1024
"""What all arrays of an `.npz` file may take, unpacked."""

Tensors = dict[str, NDArray[np.generic]]


_LONGEST_REASON = 200
_LONGEST_NAME = 80
_SHOWN_NAMES = 5


class NamedTensors(Tensors):
    """Tensors by the model's names, which also answers to the names of the model's signature.

    A model saved by TensorFlow calls an output `StatefulPartitionedCall:0` that its author called
    `scores`; both find it.

    Args:
        tensors: The arrays by the model's names.
        specs: The tensors that the names stand for.
    """

    def __init__(self, tensors: Tensors, specs: Sequence[TensorSpec]) -> None:
        super().__init__(tensors)
        self._names = signature_names(specs)

    def __missing__(self, name: str) -> NDArray[np.generic]:
        if name not in self._names:
            raise KeyError(f"{name!r}; there are {', '.join(map(repr, [*self, *self._names]))}")
        return self[self._names[name]]


def signature_names(specs: Sequence[TensorSpec]) -> dict[str, str]:
    """The model's names by those of its signature, where these differ and are no other's."""
    names = {spec.name for spec in specs}
    return {
        spec.signature_name: spec.name
        for spec in specs
        if spec.signature_name is not None and spec.signature_name not in names
    }


def make_inputs(model_name: str, specs: Sequence[TensorSpec]) -> Tensors:
    """Make the same inputs for the same model, on every machine and in every run.

    Integers of up to 16 bits are uniform over the whole range of their dtype; wider ones, which
    models use as indices, lie in 0..9, and inside of the axis that they number; floats are standard
    normal; booleans are fair coins.

    Args:
        model_name: Seeds the generator, together with each tensor's name.
        specs: The model's inputs.

    Returns:
        One array per input, of its shape and dtype, keyed by its name.
    """
    tensors: Tensors = {}
    for spec in specs:
        seed = hashlib.sha256(f"{model_name}/{spec.name}".encode()).digest()
        # Not default_rng: NumPy keeps only RandomState's values the same for ever (NEP 19).
        random = np.random.RandomState(int.from_bytes(seed[:4], "little"))
        dtype = np.dtype(spec.dtype)
        if dtype.kind == "f":
            tensors[spec.name] = random.standard_normal(spec.shape).astype(dtype)
        elif dtype.kind == "b":
            tensors[spec.name] = random.randint(0, 2, spec.shape).astype(dtype)
        elif dtype.itemsize <= 2:
            limits = np.iinfo(dtype)
            tensors[spec.name] = random.randint(limits.min, limits.max + 1, spec.shape, dtype)
        else:
            limit = min(10, spec.index_limit or 10)
            tensors[spec.name] = random.randint(0, limit, spec.shape).astype(dtype)
    return tensors


def load_inputs(path: Path, specs: Sequence[TensorSpec]) -> Tensors:
    """Read inputs from an `.npz` file, one array per input of the model.

    Args:
        path: The file.
        specs: The model's inputs.

    Returns:
        The arrays, checked by `check_inputs`.

    Raises:
        ConfigError: The file cannot be read, or its arrays do not fit the model.
    """
    return check_inputs(load_arrays(path), specs, source=str(path))


def load_outputs(path: Path, specs: Sequence[TensorSpec]) -> Tensors:
    """Read expected outputs from an `.npz` file, one array per output of the model.

    Arguments, result and errors are those of `load_inputs`, but that each array has to be of its
    output's own dtype: a wider one may hold what no device can give.
    """
    arrays = load_arrays(path)
    fitted = check_inputs(arrays, specs, source=str(path))
    aliases = signature_names(specs)
    for given, array in arrays.items():
        name = aliases.get(given, given)
        if array.dtype != fitted[name].dtype:
            raise ConfigError(
                f"{path}: {name!r} has dtype {array.dtype}, the model gives {fitted[name].dtype}",
                cure=f"write it with .astype({str(fitted[name].dtype)!r})",
            )
    return fitted


def load_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read all arrays of an `.npz` file, by name.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is not a file")
        with path.open("rb") as file:
            with zipfile.ZipFile(file) as members:
                size_bytes = sum(member.file_size for member in members.infolist())
                names = [name.removesuffix(".npy") for name in members.namelist()]
            if len(set(names)) < len(names):
                raise ValueError("it holds two arrays of one name")
            if size_bytes > MAX_FILE_BYTES:
                raise ValueError(f"they take {size_bytes} bytes, more than {MAX_FILE_BYTES}")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {name: np.asarray(archive[name]) for name in archive.files}
    except Exception as error:  # whatever zipfile, zlib and NumPy raise of a damaged file
        said = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"cannot read arrays from {path}: {said[:_LONGEST_REASON]}",
            cure="write the file with numpy.savez",
        ) from error


def check_inputs(
    inputs: Mapping[str, ArrayLike] | ArrayLike, specs: Sequence[TensorSpec], source: str = "inputs"
) -> Tensors:
    """Bring what a user passes into the exact form that the device takes.

    Args:
        inputs: Arrays by the name of the input, the model's or its signature's; a bare array where
            the model has one input.
        specs: The model's inputs.
        source: What to call the inputs in an error.

    Returns:
        C-contiguous arrays of each input's shape and dtype, in the model's order.

    Raises:
        ConfigError: A name is missing or unknown, a shape differs, or values do not fit the dtype.
    """
    arrays = named_arrays(inputs, specs, source)
    for spec in specs:
        if arrays[spec.name].shape != spec.shape:
            raise ConfigError(
                f"{source}: {spec.name!r} has shape {arrays[spec.name].shape}, the model takes "
                f"{spec.shape}",
                cure="reshape it",
            )
    return {spec.name: with_dtype(arrays[spec.name], spec, source) for spec in specs}


def named_arrays(
    inputs: Mapping[str, ArrayLike] | ArrayLike, specs: Sequence[TensorSpec], source: str
) -> dict[str, NDArray[Any]]:
    """What a user passes as arrays of any shape and dtype, by the model's names of the inputs.

    Args:
        inputs: As of `check_inputs`.
        specs: The model's inputs.
        source: What to call the inputs in an error.

    Raises:
        ConfigError: A name is missing or unknown, or something is no array.
    """
    if not isinstance(inputs, Mapping):
        if len(specs) != 1:
            raise ConfigError(
                f"{source}: a bare array, but the model has {len(specs)} inputs",
                cure=f"pass a dict with {_names(specs)}",
            )
        return {specs[0].name: _array(inputs, specs[0].name, source)}
    aliases = signature_names(specs)
    inputs = {aliases.get(name, name): value for name, value in inputs.items()}
    unknown = sorted(map(str, set(inputs) - {spec.name for spec in specs}))
    missing = [spec.name for spec in specs if spec.name not in inputs]
    if unknown or missing:
        what = [f"unknown tensor {name[:_LONGEST_NAME]!r}" for name in unknown[:_SHOWN_NAMES]]
        if len(unknown) > _SHOWN_NAMES:
            what.append(f"{len(unknown) - _SHOWN_NAMES} more unknown ones")
        what += [f"{name!r} is missing" for name in missing]
        raise ConfigError(f"{source}: {', '.join(what)}", cure=f"the model has {_names(specs)}")
    return {spec.name: _array(inputs[spec.name], spec.name, source) for spec in specs}


def _array(value: ArrayLike, name: str, source: str) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:  # rows of different lengths, say
        raise ConfigError(
            f"{source}: {name!r} is no array: {error}", cure="pass a NumPy array"
        ) from error


def with_dtype(array: NDArray[Any], spec: TensorSpec, source: str) -> NDArray[np.generic]:
    """An array as the device takes it, C-contiguous and of its input's dtype.

    Args:
        array: The array, of any shape.
        spec: The input.
        source: What to call it in an error.

    Raises:
        ConfigError: Its values do not fit the dtype.
    """
    dtype = np.dtype(spec.dtype)
    if array.dtype != dtype:
        # Python and NumPy defaults (int64, float64) are welcome as long as no value changes kind.
        fits = np.can_cast(array.dtype, dtype, "same_kind") or (
            array.dtype.kind in "iu" and dtype.kind in "iu"
        )
        if not fits:
            raise ConfigError(
                f"{source}: {spec.name!r} has dtype {array.dtype}, the model takes {dtype}",
                cure=f"convert it with .astype({str(dtype)!r}), quantised as the model expects",
            )
        _check_range(array, spec, source)
    return np.ascontiguousarray(array, dtype=dtype)


def _check_range(array: NDArray[np.generic], spec: TensorSpec, source: str) -> None:
    """Refuse values that an element of the tensor cannot hold."""
    dtype = np.dtype(spec.dtype)
    low: float
    high: float
    if dtype.kind in "iu":
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        numbers: NDArray[Any] = array
        outside = (numbers < low) | (numbers > high)
    elif dtype.kind == "f":
        low, high = float(np.finfo(dtype).min), float(np.finfo(dtype).max)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            outside = np.isfinite(array) & ~np.isfinite(array.astype(dtype))
    else:
        return
    if outside.any():
        position = tuple(int(i) for i in np.argwhere(outside)[0])
        raise ConfigError(
            f"{source}: {spec.name!r} has dtype {array.dtype} and holds {array[position]} at "
            f"{list(position)}, which the model's {dtype} cannot",
            cure=f"keep its values within {low}..{high}, quantised as the model expects",
        )


def _names(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{spec.name!r} {spec.dtype}{list(spec.shape)}" for spec in specs)
