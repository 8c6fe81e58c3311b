"""Custom operators that LiteRT has, drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from flatbuffers import flexbuffers

from tests.operators.cases import Case, Rng, _quantization, _scale
from tests.operators.layer_cases import CLOSE
from tests.unit.compiler.tflite_models import Quantization

Draw = Callable[[Rng, Case], None]


def _detection(rng: Rng, case: Case) -> None:
    """Scores that are all different: LiteRT's order of equal ones is not defined."""
    dtype = str(rng.choice(["float32", "float32", "uint8"]))
    case.tolerance = CLOSE
    boxes, classes = (int(n) for n in rng.integers(1, [30, 5], endpoint=True))
    background = int(rng.integers(2))
    most = int(rng.integers(1, 8))
    known = [None if dtype == "float32" else _quantization(rng, dtype, s) for s in (0.02, 0.004)]
    encodings = case.add_input(rng, [1, boxes, 4], dtype, known[0])
    scores = case.add_input(rng, [1, boxes, classes + background], dtype, known[1])
    for sample in case.samples:
        count = boxes * (classes + background)
        if dtype == "float32":
            sample[-2] = np.clip(sample[-2], -2, 2)
            sample[-1] = rng.permutation(count).astype(dtype).reshape(sample[-1].shape) / count
        else:
            order = rng.permutation(256)[:count] if count <= 256 else rng.integers(256, size=count)
            sample[-1] = order.astype(dtype).reshape(sample[-1].shape)
    places = rng.uniform(0.2, 1, [boxes, 4]).astype(np.float32)
    anchors = case.add([boxes, 4], "float32", None, places)
    if dtype != "float32":
        values = rng.integers(50, 256, [boxes, 4]).astype(dtype)
        anchors = case.add([boxes, 4], dtype, Quantization([_scale(rng, -9, -7)], [0]), values)
    # Where all classes are looked at together, LiteRT leaves what it does not find as it was: one
    # box is always found, and all are where they may overlap.
    is_regular, is_single = (bool(rng.random() < 0.5) for _ in range(2))
    least, overlap = float(rng.choice([0.0, 0.2])), float(rng.choice([0.3, 0.6]))
    if not is_regular:
        most, overlap = (1, overlap) if is_single else (min(most, boxes), 1.0)
        least = -1000.0
    options = {
        "max_detections": most,
        "max_classes_per_detection": 1,
        "detections_per_class": int(rng.integers(1, 8)),
        "use_regular_nms": is_regular,
        "nms_score_threshold": least,
        "nms_iou_threshold": overlap,
        "num_classes": classes,
        **{f"{name}_scale": float(rng.choice([1.0, 5.0, 10.0])) for name in "yxhw"},
    }
    results = [case.add(shape, "float32") for shape in ([1, most, 4], [1, most], [1, most], [1])]
    case.run("CUSTOM TFLite_Detection_PostProcess", [encodings, scores, anchors], results)
    data = bytes(flexbuffers.Dumps(options))
    case.operators[-1] = replace(case.operators[-1], custom_options=data)


CUSTOM: dict[str, Draw] = {"detection": _detection}
"""By the name of the operator."""
