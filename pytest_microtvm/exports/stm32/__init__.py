"""The code generator for STM32, in the style of X-CUBE-AI, with the names of microTVM."""

from pytest_microtvm.exports.stm32.emitter import (
    CodeEmitter,
    get_input_tensor_name,
    get_output_tensor_name,
)

__all__ = ["CodeEmitter", "get_input_tensor_name", "get_output_tensor_name"]
