"""TFLite_Detection_PostProcess: what SSD models end with.

Encoded boxes around anchors become boxes, and of those that overlap the best one is left: of all
classes together, or ("regular") of each class for itself. Of boxes with the same score the first
counts as the better one; LiteRT's order is not defined where one box may have several classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_microtvm.compiler.custom import CustomCall, CustomOperator, CustomTensor
from pytest_microtvm.compiler.emit.literals import literal
from pytest_microtvm.compiler.quantized.kernels.text import body

if TYPE_CHECKING:
    from pytest_microtvm.compiler.custom import Array

_HEADER = Path(__file__).parents[1] / "quantized" / "include" / "tvmgen_detection.h"
_SCALES = ("y_scale", "x_scale", "h_scale", "w_scale")


@dataclass(frozen=True)
class _Use:
    """What a use of the operator asks for.

    Args:
        boxes: How many encodings there are.
        encoding: Numbers of each, of which the first 4 count.
        columns: Scores of each box; one more than there are classes, if the first is background.
        classes: Without the background.
        per_box: Classes that are told of each box.
        most: Boxes that are found, at the most.
        per_class: Boxes of each class, where each is looked at for itself.
        is_regular: Whether each is.
        least_score: Of boxes that count.
        most_overlap: Of boxes that are left.
        scales: Of the encodings.
    """

    boxes: int
    encoding: int
    columns: int
    classes: int
    per_box: int
    most: int
    per_class: int
    is_regular: bool
    least_score: float
    most_overlap: float
    scales: tuple[float, ...]

    @property
    def background(self) -> int:
        return self.columns - self.classes


def _use(call: CustomCall) -> _Use:
    options = call.options
    tensors = [tensor for tensor in call.inputs if tensor is not None]
    if len(tensors) != 3 or len(call.outputs) != 4:
        raise ValueError("it has not 3 inputs and 4 outputs")
    encodings, scores, anchors = tensors
    if any(tensor.dtype not in ("float32", "uint8", "int8") for tensor in tensors):
        raise ValueError("its inputs are neither float32 nor of 8 bits")
    if any(tensor.dtype != "float32" and tensor.scale is None for tensor in tensors):
        raise ValueError("some of its inputs have no scale")
    boxes = anchors.shape[0]
    is_shaped = (
        encodings.shape[:2] == (1, boxes)
        and len(encodings.shape) == len(scores.shape) == 3
        and encodings.shape[2] >= 4
        and scores.shape[:2] == (1, boxes)
        and anchors.shape == (boxes, 4)
    )
    wanted = {"max_detections", "max_classes_per_detection", "num_classes", *_SCALES}
    wanted |= {"nms_score_threshold", "nms_iou_threshold"}
    if not is_shaped or not wanted <= set(options):
        raise ValueError("its inputs or its options are not those of a detector")
    classes = int(options["num_classes"])
    if scores.shape[2] - classes not in (0, 1) or min(classes, options["max_detections"]) < 1:
        raise ValueError(f"it has scores of {scores.shape[2]} classes, not of {classes}")
    return _Use(
        boxes,
        encodings.shape[2],
        scores.shape[2],
        classes,
        int(options["max_classes_per_detection"]),
        int(options["max_detections"]),
        int(options.get("detections_per_class", 100)),
        bool(options.get("use_regular_nms", False)),
        float(options["nms_score_threshold"]),
        float(options["nms_iou_threshold"]),
        tuple(float(options[name]) for name in _SCALES),
    )


def _shapes(call: CustomCall) -> Sequence[Sequence[int]]:
    use = _use(call)
    count = use.most * use.per_box
    return (1, count, 4), (1, count), (1, count), (1,)


def _workspace_bytes(call: CustomCall) -> int:
    use = _use(call)
    words = use.boxes * 5 + use.most + (use.per_class + 2 * use.most if use.is_regular else 0)
    return 4 * (words + use.columns) + use.boxes


def _real(name: str, index: str, tensor: CustomTensor | None) -> str:
    """An element as the number that it stands for."""
    assert tensor is not None
    if tensor.scale is None:
        return f"{name}[{index}]"
    return f"(float)({name}[{index}] - {tensor.zero_point}) * {_float(tensor.scale)}"


def _score(use: _Use, index: str, tensor: CustomTensor | None) -> str:
    """A score as LiteRT has it on x86: of uint8, full groups of 8 round the product and the sum.

    It differs from the exact number by a rounding, which decides at the threshold.
    """
    assert tensor is not None
    exact = _real("input1", index, tensor)
    grouped = _grouped(use)
    if tensor.dtype != "uint8" or not grouped or tensor.scale is None:
        return exact
    offset = _float(_offset(tensor))
    in_group = f"(float)input1[{index}] * {_float(tensor.scale)} + {offset}"
    if grouped == use.boxes * use.columns:
        return in_group
    return f"{index} < {grouped} ? {in_group} : {exact}"


def _grouped(use: _Use) -> int:
    """How many scores are in full groups of 8."""
    return use.boxes * use.columns // 8 * 8


def _offset(tensor: CustomTensor) -> float:
    """What the zero point stands for, in float32."""
    assert tensor.scale is not None
    return float(np.float32(-tensor.zero_point * float(np.float32(tensor.scale))))


def _float(value: float) -> str:
    return literal(np.float32(value), "float32")


def _code(call: CustomCall) -> str:
    use = _use(call)
    encodings, scores, anchors = call.inputs
    count = use.most * use.per_box
    score = _score(use, f"i * {use.columns} + {use.background} + c", scores)
    text = f"""
    float *boxes = (float *)(void *)workspace;
    float *scores = boxes + {4 * use.boxes};
    float *classes = scores + {use.boxes};
    int32_t *best = (int32_t *)(void *)(classes + {use.columns});
    uint8_t *is_left = (uint8_t *)(best + {_words(use)});
    const float scales[4] = {{{", ".join(map(_float, use.scales))}}};
    for (int32_t i = 0; i < {use.boxes}; ++i) {{
    float encoded[4];
    float anchor[4];
    for (int32_t c = 0; c < 4; ++c) {{
    encoded[c] = {_real("input0", f"i * {use.encoding} + c", encodings)};
    anchor[c] = {_real("input2", "i * 4 + c", anchors)};
    }}
    microtvm_decode_box(encoded, anchor, scales, boxes + 4 * i);
    }}
    for (int32_t i = 0; i < {count}; ++i) {{
    output1[i] = 0.0f;
    output2[i] = 0.0f;
    for (int32_t c = 0; c < 4; ++c) {{
    output[4 * i + c] = 0.0f;
    }}
    }}
    """
    return body(text + (_regular(use, score) if use.is_regular else _fast(use, score)))


def _words(use: _Use) -> int:
    return use.most + (use.per_class + 2 * use.most if use.is_regular else 0)


def _find(use: _Use, most: int) -> str:
    return (
        f"microtvm_best_boxes(boxes, scores, {use.boxes}, {_float(use.least_score)}, "
        f"{_float(use.most_overlap)}, {most}, is_left, best)"
    )


def _fast(use: _Use, score: str) -> str:
    """All classes together: of each box its best score counts."""
    told = min(use.per_box, use.classes)
    return f"""
    for (int32_t i = 0; i < {use.boxes}; ++i) {{
    for (int32_t c = 0; c < {use.classes}; ++c) {{
    const float score = {score};
    if (c == 0 || score > scores[i]) {{
    scores[i] = score;
    }}
    }}
    }}
    const int32_t found = {_find(use, use.most)};
    for (int32_t n = 0; n < found; ++n) {{
    const int32_t i = best[n];
    for (int32_t c = 0; c < {use.classes}; ++c) {{
    classes[c] = {score};
    }}
    for (int32_t k = 0; k < {told}; ++k) {{
    int32_t next = -1;
    for (int32_t c = 0; c < {use.classes}; ++c) {{
    int32_t is_told = 0;
    for (int32_t j = 0; j < k; ++j) {{
    is_told = is_told || output1[n * {use.per_box} + j] == (float)c;
    }}
    if (!is_told && (next < 0 || classes[c] > classes[next])) {{
    next = c;
    }}
    }}
    const int32_t place = n * {use.per_box} + k;
    output1[place] = (float)next;
    output2[place] = classes[next];
    for (int32_t c = 0; c < 4; ++c) {{
    output[4 * place + c] = boxes[4 * i + c];
    }}
    }}
    }}
    output3[0] = (float)found;
    """


def _regular(use: _Use, score: str) -> str:
    """Each class for itself; the best of all are told, the best first."""
    return f"""
    int32_t *place_of = best + {use.per_class};
    int32_t total = 0;
    for (int32_t c = 0; c < {use.classes}; ++c) {{
    for (int32_t i = 0; i < {use.boxes}; ++i) {{
    scores[i] = {score};
    }}
    const int32_t found = {_find(use, use.per_class)};
    for (int32_t n = 0; n < found; ++n) {{
    const float score = scores[best[n]];
    int32_t at = total < {use.most} ? total : {use.most};
    while (at > 0 && output2[at - 1] < score) {{
    --at;
    }}
    if (at < {use.most}) {{
    total += total < {use.most};
    for (int32_t j = total - 1; j > at; --j) {{
    output1[j] = output1[j - 1];
    output2[j] = output2[j - 1];
    place_of[j] = place_of[j - 1];
    }}
    output1[at] = (float)c;
    output2[at] = score;
    place_of[at] = best[n];
    }}
    }}
    }}
    for (int32_t n = 0; n < total; ++n) {{
    for (int32_t c = 0; c < 4; ++c) {{
    output[4 * n + c] = boxes[4 * place_of[n] + c];
    }}
    }}
    output3[0] = (float)total;
    """


def _reference(call: CustomCall, arrays: Sequence[Array]) -> Sequence[Array]:
    use = _use(call)
    encodings, scores, anchors = (
        _numbers(tensor, array) for tensor, array in zip(call.inputs, arrays, strict=True)
    )
    encoded = encodings[0, :, :4] / np.array(use.scales, np.float32)
    size = np.exp(encoded[:, 2:]) * anchors[:, 2:] / 2
    middle = encoded[:, :2] * anchors[:, 2:] + anchors[:, :2]
    boxes = np.concatenate([middle - size, middle + size], 1).astype(np.float32)
    if call.inputs[1] is not None and call.inputs[1].dtype == "uint8":
        scores = _grouped_scores(use, call.inputs[1], arrays[1], scores)
    scores = scores[0, :, use.background :]
    count = use.most * use.per_box
    results = [np.zeros(shape, np.float32) for shape in ((1, count, 4), (1, count), (1, count))]
    if use.is_regular:
        told = [
            (scores[i, c], c, i)
            for c in range(use.classes)
            for i in _best(use, boxes, scores[:, c], use.per_class)
        ]
        told = sorted(told, key=lambda each: -each[0])[: use.most]  # stable
        places = [(n, each) for n, each in enumerate(told)]
        found = len(told)
    else:
        best = _best(use, boxes, scores.max(1), use.most)
        places = [
            (n * use.per_box + k, (scores[i, c], c, i))
            for n, i in enumerate(best)
            for k, c in enumerate(np.argsort(-scores[i], kind="stable")[: use.per_box])
        ]
        found = len(best)
    for place, (score, c, i) in places:
        results[0][0, place], results[1][0, place], results[2][0, place] = boxes[i], c, score
    return [*results, np.array([found], np.float32)]


def _grouped_scores(use: _Use, tensor: CustomTensor, array: Array, exact: Array) -> Array:
    """Scores whose full groups of 8 are rounded as LiteRT rounds them."""
    assert tensor.scale is not None
    rounded = array.astype(np.float32) * np.float32(tensor.scale) + np.float32(_offset(tensor))
    is_grouped = np.arange(array.size).reshape(array.shape) < _grouped(use)
    scores: Array = np.where(is_grouped, rounded, exact)
    return scores


def _best(use: _Use, boxes: Array, scores: Array, most: int) -> list[int]:
    found: list[int] = []
    left = [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] >= use.least_score]
    while left and len(found) < most:
        found.append(left.pop(0))
        left = [i for i in left if _overlap(boxes[found[-1]], boxes[i]) <= use.most_overlap]
    return found


def _overlap(a: Array, b: Array) -> Any:
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    if min(areas) <= 0:
        return 0.0
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = np.prod(np.maximum(sides, 0))
    return shared / (sum(areas) - shared)


def _numbers(tensor: CustomTensor | None, array: Array) -> Array:
    assert tensor is not None
    if tensor.scale is None:
        return array.astype(np.float32)
    real: Array = (array.astype(np.int32) - tensor.zero_point) * np.float32(tensor.scale)
    return real.astype(np.float32)


DETECTION_POSTPROCESS = CustomOperator(
    "TFLite_Detection_PostProcess",
    _shapes,
    _code,
    files=(_HEADER,),
    workspace_bytes=_workspace_bytes,
    reference=_reference,
)
