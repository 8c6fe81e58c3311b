"""Relax passes that put another expression in place of an operator's calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Rewrite = Callable[[Any, Any], Any]
"""Takes a call and the BlockBuilder that it stands in; gives what takes its place."""


def rewritten_calls(rewrites: Mapping[str, Rewrite]) -> Any:
    """A Relax pass.

    Args:
        rewrites: By the name of an operator, as "relax.take".
    """
    import tvm
    from tvm import relax

    @relax.expr_functor.mutator
    class Rewriter(relax.PyExprMutator):  # type: ignore[misc]
        def visit_call_(self, call: Any) -> Any:
            call = self.visit_expr_post_order(call)
            rewrite = rewrites.get(str(getattr(call.op, "name", "")))
            return call if rewrite is None else rewrite(call, self.builder_)

    @tvm.transform.module_pass(opt_level=0)  # type: ignore[untyped-decorator]
    def run(module: Any, context: Any) -> Any:
        mutator = Rewriter(module)
        for variable, function in module.functions_items():
            if isinstance(function, relax.Function):
                mutator.builder_.update_func(variable, mutator.visit_expr(function))
        return mutator.builder_.get()

    return run
