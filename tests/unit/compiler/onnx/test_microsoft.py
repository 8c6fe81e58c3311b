"""onnxruntime's own operators, as its optimizations of a graph write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from pytest_microtvm.compiler.frontends.onnx import import_onnx
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.onnx.comparing import Array, agree, floats, made, node

WIDTH = 8
DTYPES = {"float32": "FLOAT", "int32": "INT32", "int64": "INT64", "uint8": "UINT8"}


def alike(
    operator: str,
    names: str,
    given: dict[str, Array],
    constants: dict[str, Any],
    folder: Path,
    outputs: str = "y",
    opset: int = 17,
    domain: str = "com.microsoft",
    **attributes: Any,
) -> None:
    """Compile one operator, and compare it with onnxruntime."""
    made_outputs = [name for name in outputs.split() if name != "_"]
    inputs: dict[str, tuple[str, Any]] = {
        name: (DTYPES[str(array.dtype)], array.shape) for name, array in given.items()
    }
    nodes = [node(operator, names, outputs, domain=domain, **attributes)]
    model = made(nodes, inputs, " ".join(made_outputs), constants, opset=opset)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    expected = session.run(None, given)
    agree(model, folder, list(given.values()), expected=expected)


def parameters(*names: str) -> dict[str, Array]:
    return {name: floats(WIDTH, seed=number) for number, name in enumerate(names)}


@pytest.mark.parametrize(
    ("operator", "names", "outputs"),
    [
        ("SkipLayerNormalization", "x s g b c", "y _ _ sum"),
        ("SkipLayerNormalization", "x s g", "y"),
        ("SkipSimplifiedLayerNormalization", "x s g c", "y _ _ sum"),
    ],
)
def test_normalized_sums(operator: str, names: str, outputs: str, tmp_path: Path):
    given = {"x": floats(2, 5, WIDTH), "s": floats(2, 5, WIDTH, seed=1)}
    constants = {name: array for name, array in parameters(*"gbc").items() if name in names}
    alike(operator, names, given, constants, tmp_path, outputs)


@pytest.mark.parametrize("operator", ["LayerNormalization", "SimplifiedLayerNormalization"])
def test_normalizations_that_a_version_of_onnx_does_not_have(operator: str, tmp_path: Path):
    given = {"x": floats(2, 5, WIDTH)}
    alike(operator, "x g", given, parameters("g"), tmp_path, opset=13, domain="")


def test_embeddings_are_added_and_normalized(tmp_path: Path):
    given = {
        "i": np.array([[3, 9, 0, 1]], np.int32),
        "k": np.array([[0, 1, 1, 0]], np.int32),
        "m": np.array([[1, 1, 1, 0]], np.int32),
    }
    tables = {name: floats(10, WIDTH, seed=seed) for seed, name in enumerate("wpt")}
    constants = {**tables, **parameters(*"gb")}
    alike("EmbedLayerNormalization", "i k w p t g b m", given, constants, tmp_path, "y lengths")


@pytest.mark.parametrize(
    ("mask", "attributes"),
    [
        (None, {"unidirectional": 1, "scale": 0.3}),
        (np.array([5, 3], np.int32), {}),
        (np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 1]], np.int32), {}),
    ],
)
def test_attention_of_one_tensor(mask: Any, attributes: dict[str, Any], tmp_path: Path):
    given = {"x": floats(2, 5, WIDTH), **({} if mask is None else {"m": mask})}
    constants = {"w": floats(WIDTH, 3 * WIDTH, seed=1) * 0.4, "b": floats(3 * WIDTH)}
    names = "x w b" if mask is None else "x w b m"
    alike("Attention", names, given, constants, tmp_path, num_heads=2, **attributes)


def test_attention_by_a_product_of_integers(tmp_path: Path):
    rng = np.random.default_rng(0)
    given = {"x": rng.integers(0, 256, (2, 5, WIDTH)).astype(np.uint8)}
    constants = {
        "w": rng.integers(-127, 128, (WIDTH, 3 * WIDTH)).astype(np.int8),
        "b": floats(3 * WIDTH),
        "s": np.float32(0.02),
        "t": np.linspace(0.002, 0.004, 3 * WIDTH).astype(np.float32),
        "z": np.uint8(120),
        "u": np.zeros(3 * WIDTH, np.int8),
    }
    alike("QAttention", "x w b s t _ z u", given, constants, tmp_path, num_heads=2)


def test_attention_of_three_tensors(tmp_path: Path):
    given = {name: floats(2, count, WIDTH) for name, count in (("q", 5), ("k", 6), ("v", 6))}
    given["a"] = floats(2, 2, 5, 6)
    constants = {"b": floats(3 * WIDTH)}
    alike("MultiHeadAttention", "q k v b _ a", given, constants, tmp_path, num_heads=2)


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("QLinearConv", {"pads": [1, 1, 0, 0], "strides": [2, 2]}),
        ("QLinearGlobalAveragePool", {}),
        ("NhwcMaxPool", {"kernel_shape": [2, 2], "strides": [2, 1]}),
    ],
)
def test_images_may_have_their_channels_last(
    operator: str, attributes: dict[str, Any], tmp_path: Path
):
    rng = np.random.default_rng(0)
    constants = {"s": np.float32(0.02), "z": np.uint8(120), "o": np.float32(0.13)}
    names = {"QLinearConv": "x s z w s v o z", "QLinearGlobalAveragePool": "x s z o z"}
    if operator == "QLinearConv":
        weights = rng.integers(-127, 128, (8, 4, 3, 3)).astype(np.int8)
        constants |= {"w": weights, "v": np.int8(0), "o": np.float32(1.7)}
    if operator != "NhwcMaxPool":
        attributes = {**attributes, "channels_last": 1}
    given = {"x": rng.integers(0, 256, (1, 6, 7, 4)).astype(np.uint8)}
    used = {name: constants[name] for name in constants if name in names.get(operator, "").split()}
    alike(operator, names.get(operator, "x"), given, used, tmp_path, **attributes)


@pytest.mark.parametrize("bits", [4, 8])
def test_rows_of_a_table_of_few_bits(bits: int, tmp_path: Path):
    rng = np.random.default_rng(0)
    constants = {
        "d": rng.integers(0, 256, (6, 4 * bits)).astype(np.uint8),
        "s": np.abs(floats(6, 2)),
        "z": rng.integers(0, 256, (6, bits // 4)).astype(np.uint8),
    }
    given = {"i": np.array([[1, 3]])}
    attributes: dict[str, Any] = {
        "bits": bits,
        "block_size": 16,
        "quantize_axis": 1,
        "gather_axis": 0,
    }
    alike("GatherBlockQuantized", "d i s z", given, constants, tmp_path, **attributes)


def test_distances_and_products_of_turned_batches(tmp_path: Path):
    given = {"x": floats(4, 3), "z": floats(5, 3, seed=1)}
    alike("CDist", "x z", given, {}, tmp_path / "distances", metric="euclidean")
    given = {"x": floats(2, 5, WIDTH), "z": floats(5, 2, WIDTH)}
    turned: dict[str, Any] = {"transBatchB": 1, "transB": 1, "alpha": 0.5}
    alike("FusedMatMul", "x z", given, {}, tmp_path / "products", **turned)


def test_what_was_optimized_for_one_processor_is_refused_with_a_cure():
    model = made([node("ReorderInput", "x", domain="com.microsoft.nchwc")], {"x": ("FLOAT", [3])})
    model.opset_import.append(helper.make_opsetid("com.microsoft.nchwc", 1))
    with pytest.raises(ModelError, match=r"nchwc\.ReorderInput .*ORT_ENABLE_EXTENDED or less"):
        import_onnx(model.SerializeToString())
