"""Relax modules that `tvm.ir.save_json` wrote."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_microtvm.compiler.frontends.imported import ImportedModel, imported
from pytest_microtvm.errors import ModelError


def import_relax(
    data: bytes, input_shapes: Mapping[str, tuple[int, ...]] | None = None
) -> ImportedModel:
    """Import a Relax module that `tvm.ir.save_json` wrote.

    Args:
        data: What the file holds.
        input_shapes: None: a module has its shapes.

    Raises:
        ModelError: It is damaged, or holds what cannot be compiled.
    """
    if input_shapes:
        raise ModelError(
            "the shapes of a Relax module cannot be given",
            cure="save it with the shapes that it has",
        )
    import tvm

    try:
        module = tvm.ir.load_json(data.decode("utf-8"))
    except Exception as error:
        raise ModelError(
            "the file is not a Relax module as tvm.ir.save_json writes it",
            cure="save the module with tvm.ir.save_json, by the same TVM release; where that "
            "crashes, as with apache-tvm-ffi 0.1.15, save it with 'apache-tvm-ffi<0.1.15', or "
            "compile the module without a file",
        ) from error
    if not isinstance(module, tvm.IRModule):
        raise ModelError(
            f"the file holds a {type(module).__name__}, not a module",
            cure="save the whole IRModule with tvm.ir.save_json",
        )
    return imported(module, None, None)
