"""Items of lists that loops fill, as converters write them: without a shape that is known.

A list is a tensor whose first axis are its items. The item of a number is put into it by joining
the items before it, the new one, and those behind it. The first and the last part have as many
items as is known at run time only; together it is a box of the list that is replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pytest_microtvm.compiler.frontends.tflite.graph import Array, Graph, Operator
from pytest_microtvm.compiler.frontends.tflite.options import Options


def with_replaced_items(graph: Graph) -> Graph:
    """The graph with a DYNAMIC_UPDATE_SLICE for each item that is put into a list."""
    finder = _Finder(graph)
    found = [finder.update(operator) or operator for operator in graph.operators]
    changed = {a.outputs for a, b in zip(found, graph.operators, strict=True) if a is not b}
    if not changed:
        return graph
    read = {index for operator in found for index in operator.inputs} | set(graph.outputs)
    # The parts before and behind the item, which nothing else reads.
    kept = [o for o in found if o.name != "SLICE" or any(index in read for index in o.outputs)]
    return replace(graph, operators=tuple(kept))


@dataclass(frozen=True)
class _Vector:
    """The numbers of a vector: one that is known at run time only, and known ones behind it.

    Args:
        first: The tensor of the first number.
        rest: The others.
    """

    first: int
    rest: tuple[int, ...]


class _Finder:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._makers = {index: o for o in graph.operators for index in o.outputs}

    def update(self, operator: Operator) -> Operator | None:
        """What replaces an item, in place of what joins three parts; None for all else."""
        if operator.name != "CONCATENATION" or len(operator.inputs) != 3:
            return None
        options = Options(
            "ConcatenationOptions", operator.options, ("Axis", "FusedActivationFunction")
        )
        before, item, behind = operator.inputs
        first, last = self._made_by(before, "SLICE"), self._made_by(behind, "SLICE")
        is_plain = options["Axis"] == 0 and options["FusedActivationFunction"] == 0
        if not is_plain or first is None or last is None or first.inputs[0] != last.inputs[0]:
            return None
        shape, count = self._shape(first.inputs[0]), self._shape(item)
        sizes, starts = self._vector(first.inputs[2]), self._vector(last.inputs[1])
        if not shape or not count or not _may_be_same(shape[1:], count[1:]):
            return None
        if sizes is None or starts is None or count[0] < 1 or len(sizes.rest) != len(shape) - 1:
            return None
        begins, ends = self._known(first.inputs[1]), self._known(last.inputs[2])
        is_item = (
            begins is not None
            and not begins.any()
            and ends is not None
            and (ends == -1).all()
            and all(
                size in (-1, extent) for size, extent in zip(sizes.rest, shape[1:], strict=True)
            )
            and not any(starts.rest)
            and self._is_sum(starts.first, sizes.first, count[0])
        )
        if not is_item:
            return None
        # Where the box begins: its other axes have all of the list's extents, so that -1 is 0.
        inputs = (first.inputs[0], item, first.inputs[2])
        return replace(
            operator,
            name="DYNAMIC_UPDATE_SLICE",
            version=1,
            inputs=inputs,
            options_name="",
            options=None,
        )

    def _made_by(self, index: int, name: str) -> Operator | None:
        maker = self._makers.get(index)
        return maker if maker is not None and maker.name == name else None

    def _known(self, index: int) -> Array | None:
        return self._graph.tensors[index].data

    def _shape(self, index: int) -> tuple[int, ...]:
        """The extents of a tensor; -1 for one that the file leaves open."""
        return self._graph.tensors[index].signature

    def _vector(self, index: int) -> _Vector | None:
        """A vector that is joined of a number in a shape of its own, and of known numbers."""
        joined = self._made_by(index, "CONCATENATION")
        if joined is None or len(joined.inputs) != 2:
            return None
        shaped, rest = self._makers.get(joined.inputs[0]), self._known(joined.inputs[1])
        if shaped is None or shaped.name not in ("RESHAPE", "EXPAND_DIMS", "PACK") or rest is None:
            return None
        if np.prod(self._graph.tensors[shaped.outputs[0]].shape) != 1:
            return None
        return _Vector(shaped.inputs[0], tuple(int(number) for number in rest))

    def _is_sum(self, total: int, start: int, count: int) -> bool:
        """Whether a number is another one and so many."""
        maker = self._made_by(total, "ADD")
        if maker is None or start not in maker.inputs:
            return False
        first, second = maker.inputs
        added = self._known(second if first == start else first)
        return added is not None and added.size == 1 and int(added.reshape(-1)[0]) == count


def _may_be_same(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Whether extents are the same, as far as the file says."""
    return len(first) == len(second) and all(
        a == b or -1 in (a, b) for a, b in zip(first, second, strict=True)
    )
