"""TFLite_Detection_PostProcess where its rounding decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flatbuffers import flexbuffers

from pytest_microtvm.compiler import compile_to_files
from tests.operators.running import run_litert
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.tflite_models import Model, Operator, Quantization, Tensor

BOXES = 11
"""A full group of 8, and 3 more."""


def detector() -> Model:
    """Boxes of one class, apart from each other, with scores of bytes."""
    anchors = np.array([[10 * i, 0, 1, 1] for i in range(BOXES)], np.float32)
    tensors = [
        Tensor("boxes", [1, BOXES, 4]),
        Tensor("scores", [1, BOXES, 1], "UINT8", quantization=Quantization([0.004], [198])),
        Tensor("anchors", [BOXES, 4], data=anchors),
        Tensor("found", [1, BOXES, 4]),
        Tensor("class", [1, BOXES]),
        Tensor("score", [1, BOXES]),
        Tensor("count", [1]),
    ]
    options: dict[str, Any] = {
        "max_detections": BOXES,
        "max_classes_per_detection": 1,
        "num_classes": 1,
    }
    options |= {"use_regular_nms": True, "detections_per_class": BOXES}
    options |= dict.fromkeys(("y_scale", "x_scale", "h_scale", "w_scale"), 1.0)
    options |= {"nms_score_threshold": 0.2, "nms_iou_threshold": 0.5}
    operator = Operator(
        "CUSTOM TFLite_Detection_PostProcess",
        [0, 1, 2],
        [3, 4, 5, 6],
        custom_options=bytes(flexbuffers.Dumps(options)),
    )
    return Model(tensors, [operator], [0, 1], [3, 4, 5, 6])


def test_scores_of_bytes_are_rounded_as_litert_rounds_them(tmp_path):
    """(248 - 198) * 0.004 is the threshold; in full groups of 8 it rounds to less than that."""
    pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")
    (tmp_path / "m.tflite").write_bytes(detector().to_bytes())
    model = NativeModel(compile_to_files(tmp_path / "m.tflite"), tmp_path)
    boxes = np.zeros([1, BOXES, 4], np.float32)
    distinct = np.arange(242, 253, dtype=np.uint8)
    for scores in (np.full(BOXES, 248, np.uint8), distinct, distinct[::-1]):
        inputs: list[Any] = [boxes, scores.reshape(1, BOXES, 1)]
        [expected] = run_litert(detector().to_bytes(), [inputs])
        for found, wanted in zip(model(*inputs), expected, strict=True):
            np.testing.assert_array_equal(found.reshape(wanted.shape), wanted)
