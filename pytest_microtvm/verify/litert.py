"""The original model run by LiteRT's reference kernels: a second opinion on the compiler."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pytest_microtvm.errors import ConfigError, ModelError
from pytest_microtvm.mlf.library import TensorSpec
from pytest_microtvm.model_files import suffix_of
from pytest_microtvm.verify.inputs import Tensors


def run_litert(
    model: Path, inputs: Tensors, input_specs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> Tensors:
    """Run a TFLite model with LiteRT's BUILTIN_REF kernels.

    LiteRT's other kernels round differently; these are what TFLite Micro's follow.

    Args:
        model: The .tflite file.
        inputs: One array per input, by name.
        input_specs: The model's inputs, in its order.
        outputs: The model's outputs, in its order.

    Returns:
        One array per output, by name.

    Raises:
        ConfigError: LiteRT is not installed, or the model is no TFLite file.
        ModelError: LiteRT cannot run the model, or sees other tensors in it.
    """
    if suffix_of(model) != ".tflite":
        raise ConfigError(
            f"{model.name} is no TFLite model, which the reference litert needs",
            cure="use another --microtvm-reference",
        )
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        raise ConfigError(
            "LiteRT is not installed", cure="pip install 'pytest-microtvm[litert]'"
        ) from error
    try:
        interpreter = Interpreter(
            model_path=str(model),
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            num_threads=1,
        )
        interpreter.allocate_tensors()
        for spec, detail in zip(input_specs, interpreter.get_input_details(), strict=True):
            interpreter.set_tensor(detail["index"], inputs[spec.name])
        interpreter.invoke()
        arrays = [
            interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()
        ]
        return {
            spec.name: np.array(array).reshape(spec.shape)
            for spec, array in zip(outputs, arrays, strict=True)
        }
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"LiteRT cannot run {model.name}: {str(error).splitlines()[0]}",
            cure="use another --microtvm-reference",
        ) from error
