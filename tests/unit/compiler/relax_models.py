"""Builds small Relax modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

TensorType = tuple[Sequence[int], str]


def relax_module(body: Callable[..., Any], *types: TensorType, names: Sequence[str] = ()) -> Any:
    """A module whose `main` takes tensors of `types` and returns what `body` makes of them.

    Args:
        body: Takes Relax variables and returns an expression, or a tuple of them.
        types: Shape and element type of each parameter.
        names: Names of the parameters; x0, x1, ... if not given.
    """
    from tvm import relax

    names = names or [f"x{i}" for i in range(len(types))]
    parameters = [
        relax.Var(name, relax.TensorType(shape, dtype))
        for name, (shape, dtype) in zip(names, types, strict=True)
    ]
    builder = relax.BlockBuilder()
    with builder.function("main", parameters):
        with builder.dataflow():
            result = body(*parameters)
            if isinstance(result, tuple):
                result = relax.Tuple(list(result))
            result = builder.emit_output(result)
        builder.emit_func_output(result)
    return builder.get()
