"""Relax modules that `tvm.ir.save_json` wrote."""

from __future__ import annotations

from pytest_microtvm.compiler.frontends.imported import ImportedModel, imported
from pytest_microtvm.errors import ModelError


def import_relax(data: bytes) -> ImportedModel:
    """Import a Relax module that `tvm.ir.save_json` wrote.

    Raises:
        ModelError: It is damaged, or holds what cannot be compiled.
    """
    import tvm

    try:
        module = tvm.ir.load_json(data.decode("utf-8"))
    except Exception as error:
        raise ModelError(
            "the file is not a Relax module as tvm.ir.save_json writes it",
            cure="save the module with tvm.ir.save_json, by the same TVM release",
        ) from error
    if not isinstance(module, tvm.IRModule):
        raise ModelError(
            f"the file holds a {type(module).__name__}, not a module",
            cure="save the whole IRModule with tvm.ir.save_json",
        )
    return imported(module, None, None)
