"""Operators that are compiled as simpler ones."""

from __future__ import annotations

from pytest_microtvm.compiler.frontends.onnx.graph import Rewrite
from pytest_microtvm.compiler.frontends.onnx.rewrites import (
    elementwise,
    learning,
    microsoft,
    normalisations,
    quantized,
    reductions,
    resizing,
    signals,
    transformers,
    views,
    windows,
)

LEARNING = "ai.onnx.ml"
"""The domain of ONNX's operators of classical machine learning."""
MICROSOFT = "com.microsoft"
"""The domain of onnxruntime's own operators."""

REWRITES: dict[tuple[str, str], Rewrite] = {
    **{
        ("", name): rewrite
        for group in (
            elementwise,
            normalisations,
            quantized,
            reductions,
            resizing,
            signals,
            views,
            windows,
        )
        for name, rewrite in group.REWRITES.items()
    },
    **{(LEARNING, name): rewrite for name, rewrite in learning.REWRITES.items()},
    **{
        (MICROSOFT, name): rewrite
        for group in (microsoft, transformers)
        for name, rewrite in group.REWRITES.items()
    },
}
"""What becomes of an operator, by its domain and name."""
