"""Why an operator cannot be converted."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_microtvm.compiler.frontends.tflite.graph import Operator

_CURE = "export the model without that, or with other operators (docs/operators.md)"


class Refusal(Exception):
    """An operator that cannot be converted.

    Args:
        operator: Which.
        tensors: The names of its outputs.
        why: A clause that begins with what is wrong.
        cure: What to do about it.
        is_consequence: Whether it is for want of what another refused operator would have made.
    """

    def __init__(
        self,
        operator: Operator,
        tensors: Sequence[str],
        why: str,
        cure: str | None = None,
        is_consequence: bool = False,
    ) -> None:
        super().__init__(f"{operator.name}: {why}")
        self.operator = operator
        self.tensors = tensors
        self.why = why
        self.cure = cure or _CURE
        self.is_consequence = is_consequence
