"""Opens `.pt2` files without running anything that they hold.

PyTorch unpickles objects, loads compiled libraries and evaluates the text of sizes as it opens a
file. None of that is needed for a model of tensors, so it is looked for before and refused.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import json
import os
import re
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

import torch

from pytest_microtvm.compiler.failures import summary
from pytest_microtvm.compiler.options import MAX_MODEL_BYTES
from pytest_microtvm.errors import ModelError

EXPORT = "torch.export.save(torch.export.export(model.eval(), inputs), path)"
_DAMAGED = f"copy the whole file, or write it again: {EXPORT}"
_SWITCH = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_OBJECTS = ("custom_obj_", "opaque_obj_", "script_obj_")
_ARITHMETIC = (
    *(ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Load, ast.keyword),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.Tuple),
)
_TEXTS = ("expr_str", "symbol")
_RANGES = ("range_constraints", "symbol_name_to_range")
_TARGET = re.compile(
    r"(torch\.ops\.\w+\.\w|torch\._?sym_\w|_operator\.\w|math\.\w|#"
    r"|torch\.amp\.autocast_mode\._(enter|exit)_autocast\Z|torch\._C\._set_grad_enabled\Z)"
)
_SPECIAL = re.compile(r"\.__(and|or|xor|lshift|rshift)__(?=\.\w+\Z)")
"""Operators as "torch.ops.aten.__and__.Tensor"."""


def read_program(data: bytes) -> Any:
    """The program of a file that `torch.export.save` wrote.

    Raises:
        ModelError: It is damaged, something else, or would run code as it is opened.
    """
    _check(data)
    try:
        with warnings.catch_warnings(), _without_pickles():
            warnings.simplefilter("ignore")
            with contextlib.suppress(ImportError):
                # Registers the operators of programs that PT2E quantized.
                importlib.import_module("torch.ao.quantization.fx._decomposed")
            return torch.export.load(io.BytesIO(data))
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"PyTorch {torch.__version__} cannot open the file, which is damaged or of another "
            f"release of PyTorch: {summary(error)}",
            cure=f"write it by the release that is installed here: {EXPORT}",
        ) from error


def _check(data: bytes) -> None:
    """Refuse what is no program, and what would run code or fill the memory as it is opened."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if min((member.header_offset for member in members), default=1):
                # The end is that of a file inside, whose own has been cut off.
                raise zipfile.BadZipFile("it is truncated")
            total = sum(member.file_size for member in members)
            if total > MAX_MODEL_BYTES:
                raise ModelError(
                    f"the file unpacks to {total} bytes, more than {MAX_MODEL_BYTES}",
                    cure="use a model that fits a microcontroller",
                )
            names = [member.filename for member in members]
            if len({*names}) != len(names):
                raise _unsafe("it has two members of one name")
            _check_kind(names)
            for name in names:
                if name.endswith(".json"):
                    _check_texts(name, json.loads(archive.read(name)))
                if name.rpartition("/")[2].startswith(_OBJECTS):
                    raise _unsafe("it holds an object of Python or TorchScript")
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(
            "the file is not a program of torch.export, or is damaged", cure=_DAMAGED
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"the file is damaged: what describes the program is no JSON ({summary(error)})",
            cure=_DAMAGED,
        ) from error


def _check_kind(names: list[str]) -> None:
    if any("data/aotinductor/" in name or name.endswith((".so", ".o")) for name in names):
        raise ModelError(
            "the file is a library that AOTInductor compiled for this kind of computer",
            cure=f"give the program before that: {EXPORT}",
        )
    if any(name.endswith((".json",)) and _is_model(name) for name in names):
        return
    if any("/code/" in name or name.endswith("constants.pkl") for name in names):
        raise ModelError(
            "the file is a TorchScript model (torch.jit.save)",
            cure=f"export the model itself: {EXPORT}; or to ONNX",
        )
    if any(name.endswith("data.pkl") for name in names):
        raise ModelError(
            "the file is of torch.save: weights or a pickled object, no program",
            cure=f"load it into its model and export that: {EXPORT}",
        )
    raise ModelError("the file is not a program of torch.export", cure=_DAMAGED)


def _is_model(name: str) -> bool:
    return "models/" in name or name.endswith("serialized_exported_program.json")


def _check_texts(name: str, description: Any) -> None:
    """Refuse texts that PyTorch evaluates, where they are no sizes or no operators."""
    pending: list[Any] = [description]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        if not isinstance(value, dict):
            continue
        pending += value.values()
        texts = [value.get(key) for key in _TEXTS]
        texts += [text for key in _RANGES for text in _keys(value.get(key))]
        for text in texts:
            if isinstance(text, str) and not _is_size(text):
                raise _unsafe(f"a size is {text[:80]!r}")
        target = value.get("target")
        if isinstance(target, str) and "inputs" in value and _is_model(name):
            plain = _SPECIAL.sub("", target)
            if "__" in plain or not _TARGET.match(target):
                raise _unsafe(f"an operator is {target[:80]!r}")
        if str(value.get("path_name", "")).startswith(_OBJECTS):
            raise _unsafe("it holds an object of Python or TorchScript")


def _keys(value: Any) -> list[str]:
    return list(value) if isinstance(value, dict) else []


def _is_size(text: str) -> bool:
    """Whether a text is arithmetic of numbers, symbols and SymPy's functions."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return all(
        isinstance(node, _ARITHMETIC)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name))
        or (isinstance(node, ast.Name) and "__" not in node.id and _is_symbol(node.id))
        or (isinstance(node, ast.Constant) and _is_plain(node.value))
        for node in ast.walk(tree)
    )


def _is_symbol(name: str) -> bool:
    """SymPy's functions begin with a capital; those of Python's that could do harm do not."""
    return name[0].isupper() or re.fullmatch(r"_?[a-z]+\d+|_?(int_)?oo", name) is not None


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"\w+", value) is not None and "__" not in value
    return isinstance(value, (bool, int, float))


def _unsafe(what: str) -> ModelError:
    return ModelError(
        f"the file is not opened, because it may run code: {what}",
        cure="export a model of tensors and PyTorch's own operators",
    )


@contextlib.contextmanager
def _without_pickles() -> Iterator[None]:
    """PyTorch unpickles tensors only, by its own switch: also where its code asks for objects."""
    before = os.environ.get(_SWITCH)
    os.environ[_SWITCH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SWITCH]
        else:
            os.environ[_SWITCH] = before
