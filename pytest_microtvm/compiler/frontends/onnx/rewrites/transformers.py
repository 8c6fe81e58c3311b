"""onnxruntime's operators of whole parts of transformers, as those of the standard."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from pytest_microtvm.compiler.frontends.onnx.graph import Builder, Rewrite
from pytest_microtvm.compiler.frontends.onnx.rewrites.normalisations import layer_normalized
from pytest_microtvm.compiler.frontends.onnx.rewrites.quantized import centered

_EPSILON = 1e-12
"""What is added to a variance, unless an attribute says another number."""
_MASKED = -10000.0
"""What is added to a score that is masked, unless an attribute says another number."""


def _skip_layer(*, is_simplified: bool) -> Rewrite:
    """A normalized sum; the fourth result is the sum."""

    def rewrite(builder: Builder) -> bool:
        total = builder.op("Add", builder.node.input[0], builder.node.input[1])
        more = builder.input(3 if is_simplified else 4)
        if more is not None:
            total = builder.op("Add", total, more)
        beta = None if is_simplified else builder.input(3)
        results = layer_normalized(
            builder, total, builder.node.input[2], beta, [-1], _EPSILON, not is_simplified
        )
        for position, result in enumerate((*results, total)):
            builder.result(result, position)
        return True

    return rewrite


def _embed(builder: Builder) -> bool:
    """Rows of up to three tables, added and normalized; the length of each mask; the sum."""
    words, segments, table, places, kinds, gamma, beta, mask, at = map(builder.input, range(9))
    shape = builder.graph.shape(words or "")
    if shape is None or table is None or places is None or gamma is None or words is None:
        return False
    position = at or builder.constant(np.arange(shape[1], dtype=np.int64))
    total = builder.op(
        "Add", builder.op("Gather", table, words), builder.op("Gather", places, position)
    )
    if segments is not None and kinds is not None:
        total = builder.op("Add", total, builder.op("Gather", kinds, segments))
    builder.result(layer_normalized(builder, total, gamma, beta, [-1], _EPSILON)[0])
    lengths = builder.constant(np.zeros(shape[:1], np.int32))
    if mask is not None:
        lengths = builder.reduce("ReduceSum", mask, [1], 0)
    builder.result(lengths, 1)
    builder.result(total, 2)
    return True


@dataclass(frozen=True)
class _Heads:
    """Queries, keys and values, each (batch, positions, width), and what their product is of.

    Args:
        queries: The name of a value, as are the next two.
        keys: Of as many positions as the values.
        values: What is weighted.
        count: The heads side by side in a width.
        mask: What says which keys are seen, of the shape of one of several forms.
        bias: Is added to the scores.
    """

    queries: str
    keys: str
    values: str
    count: int
    mask: str | None
    bias: str | None

    def attend(
        self, builder: Builder, extents: tuple[int, int, int], widths: tuple[int, int]
    ) -> bool:
        """Let the node's result be the attention.

        Args:
            builder: Of the node.
            extents: The batch, and the positions of queries and keys.
            widths: Of keys and values.
        """
        batch, rows, columns = extents
        keys, values = (width // self.count for width in widths)
        scale = float(builder.attribute("scale", 0.0)) or 1 / math.sqrt(keys)
        queries = self._split(builder, self.queries, (batch, rows, keys), (0, 2, 1, 3))
        turned = self._split(builder, self.keys, (batch, columns, keys), (0, 2, 3, 1))
        scores = builder.op("MatMul", queries, turned)
        scores = builder.op("Mul", scores, builder.constant(np.float32(scale)))
        if self.bias is not None:
            scores = builder.op("Add", scores, self.bias)
        if int(builder.attribute("unidirectional", 0)):
            least = np.full((rows, columns), np.finfo(np.float32).min, np.float32)
            scores = builder.op("Add", scores, builder.constant(np.triu(least, columns - rows + 1)))
        if self.mask is not None:
            masked = self._masked(builder, extents)
            if masked is None:
                return False
            scores = builder.op("Add", scores, masked)
        weights = builder.op("Softmax", scores, axis=-1)
        weighed = builder.op(
            "MatMul",
            weights,
            self._split(builder, self.values, (batch, columns, values), (0, 2, 1, 3)),
        )
        joined = builder.transpose(weighed, (0, 2, 1, 3))
        builder.result(builder.reshape(joined, (batch, rows, widths[1])))
        return True

    def _split(
        self, builder: Builder, name: str, extents: tuple[int, int, int], order: tuple[int, ...]
    ) -> str:
        batch, positions, width = extents
        split = builder.reshape(name, (batch, positions, self.count, width))
        return builder.transpose(split, order)

    def _masked(self, builder: Builder, extents: tuple[int, int, int]) -> str | None:
        """What is added to the scores of keys that are not seen, and 0 to others."""
        batch, rows, columns = extents
        mask = self.mask or ""
        shape = builder.graph.shape(mask)
        if shape == (batch,):
            places = builder.constant(np.arange(columns, dtype=np.int32))
            seen = builder.op("Less", places, builder.reshape(mask, (batch, 1, 1, 1)))
        elif shape == (batch, columns):
            seen = builder.cast(builder.reshape(mask, (batch, 1, 1, columns)), TensorProto.BOOL)
        elif shape == (batch, rows, columns):
            seen = builder.cast(builder.reshape(mask, (batch, 1, rows, columns)), TensorProto.BOOL)
        else:
            return None
        least = float(builder.attribute("mask_filter_value", _MASKED))
        ends = (builder.constant(np.float32(value)) for value in (0.0, least))
        return builder.op("Where", seen, *ends)


def _attention(builder: Builder) -> bool:
    """One product makes queries, keys and values of a tensor."""
    source, weights, bias, mask, past, added, length = map(builder.input, range(7))
    if past is not None or length is not None or source is None or weights is None:
        return False
    product = builder.op("MatMul", source, weights)
    if bias is not None:
        product = builder.op("Add", product, bias)
    return _of_one_product(builder, product, mask, added)


def _quantized_attention(builder: Builder) -> bool:
    """The same by a product of integers."""
    if builder.input(8) is not None or builder.input(2) is None:
        return False
    left, right = centered(builder, 0, 6, (-1,)), centered(builder, 1, 7, (-1,))
    product = builder.cast(builder.op("MatMul", left, right), TensorProto.FLOAT)
    product = builder.op("Mul", product, builder.op("Mul", *builder.node.input[3:5]))
    product = builder.op("Add", product, builder.input(2))
    return _of_one_product(builder, product, builder.input(5), None)


def _of_one_product(builder: Builder, product: str, mask: str | None, bias: str | None) -> bool:
    shape, columns = map(builder.graph.shape, builder.node.input[:2])
    if shape is None or columns is None or any(builder.node.output[1:]):
        return False
    if int(builder.attribute("do_rotary", 0)):
        return False
    widths = list(builder.attribute("qkv_hidden_sizes", [])) or [columns[1] // 3] * 3
    starts = np.cumsum([0, *widths])
    parts = [
        builder.slice(product, 2, int(start), int(stop))
        for start, stop in itertools.pairwise(starts)
    ]
    heads = _Heads(parts[0], parts[1], parts[2], int(builder.attribute("num_heads")), mask, bias)
    return heads.attend(builder, (shape[0], shape[1], shape[1]), (widths[1], widths[2]))


def _multi_head(builder: Builder) -> bool:
    """Queries, keys and values are given, and a bias of all three side by side."""
    names = [builder.input(position) for position in range(3)]
    shapes = [builder.graph.shape(name or "") for name in names]
    given = any(builder.input(position) for position in range(6, 10))
    if given or any(shape is None or len(shape) != 3 for shape in shapes):
        return False
    if any(builder.node.output[1:]):
        return False
    queries, keys, values = (shape or () for shape in shapes)
    bias = builder.input(3)
    if bias is not None:
        starts = np.cumsum([0, queries[2], keys[2], values[2]])
        names = [
            builder.op("Add", name, builder.slice(bias, 0, int(start), int(stop)))
            for name, (start, stop) in zip(names, itertools.pairwise(starts), strict=True)
        ]
    heads = _Heads(
        names[0] or "",
        names[1] or "",
        names[2] or "",
        int(builder.attribute("num_heads")),
        builder.input(4),
        builder.input(5),
    )
    return heads.attend(builder, (queries[0], queries[1], keys[1]), (keys[2], values[2]))


REWRITES: dict[str, Rewrite] = {
    "Attention": _attention,
    "EmbedLayerNormalization": _embed,
    "MultiHeadAttention": _multi_head,
    "QAttention": _quantized_attention,
    "SkipLayerNormalization": _skip_layer(is_simplified=False),
    "SkipSimplifiedLayerNormalization": _skip_layer(is_simplified=True),
}
